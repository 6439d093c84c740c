"""The limit on the messages of one user over all connections."""

from __future__ import annotations

from enum import Enum
from typing import Protocol


class MessageVerdict(Enum):
    """The answer to one message, in order of precedence."""

    BANNED = "banned"
    OVER_LIMIT = "over_limit"
    ALLOWED = "allowed"


class MessageLimit(Protocol):
    """Counts messages, mostly within the process."""

    async def take(self, user_id: str) -> MessageVerdict:
        """Counts one message of a user. Never fails: without the limiter, each process counts by itself."""
