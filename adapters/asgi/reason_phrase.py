"""The words for a status: the `title` of problems, the descriptions of answers in the OpenAPI document."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

_RFC_9110: Final = {413: "Content Too Large", 422: "Unprocessable Content"}
"""Python has these names from 3.13 on. A service says the same on each."""


def reason_phrase(status: int) -> str:
    return _RFC_9110.get(status) or HTTPStatus(status).phrase
