"""How much one user may say over all connections."""

from __future__ import annotations

from enum import Enum
from typing import Protocol


class MessageVerdict(Enum):
    """In order of precedence."""

    BANNED = "banned"
    OVER_LIMIT = "over_limit"
    ALLOWED = "allowed"


class MessageLimit(Protocol):
    async def take(self, user_id: str) -> MessageVerdict:
        """Counts one message. Most calls ask nobody, and none fails: without the shared limiter each
        process counts for itself."""
