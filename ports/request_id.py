"""Which request the task at hand works for."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

REQUEST_ID: Final[ContextVar[str | None]] = ContextVar("credit_request_id", default=None)
"""Set where a request comes in, read where a line is logged; None where nobody asked. Tasks that a request
starts inherit it, so nothing may be decided by it."""
