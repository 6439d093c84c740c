"""The id of the request that the current task serves."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("credit_request_id", default=None)
"""Set when a request arrives, read when a line is logged; None outside of a request. The tasks that a request
starts inherit it, so no decision may depend on it."""
