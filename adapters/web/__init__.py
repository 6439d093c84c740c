"""HTTP: the application over Quart and the guard in front of it.

Plugins see only what is named here.
"""

from __future__ import annotations

from adapters.web.route import (
    FORBIDDEN,
    NOT_AUTHENTICATED,
    NOT_FOUND,
    Answer,
    Call,
    Handler,
    Problem,
    Route,
)

__all__ = [
    "FORBIDDEN",
    "NOT_AUTHENTICATED",
    "NOT_FOUND",
    "Answer",
    "Call",
    "Handler",
    "Problem",
    "Route",
]
