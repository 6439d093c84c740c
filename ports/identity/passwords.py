"""Password hashing: slow on purpose, so bounded and off the event loop. And common passwords."""

from __future__ import annotations

from collections.abc import Container
from typing import Protocol

CommonPasswords = Container[str]
"""The passwords that guessers try first, as keys of `domain.identity.users.uniqueness_key`."""


class PasswordHasher(Protocol):
    """Both coroutines raise `ports.runtime.Overloaded`, before any work, when too many passwords wait."""

    async def hash(self, password: bytes) -> str:
        """A PHC string of the password with a new salt."""

    async def verify(self, password: bytes, encoded: str | None) -> bool:
        """Whether the password has this hash. False for None at the same cost, to hide unknown users."""

    def needs_rehash(self, encoded: str) -> bool:
        """Whether a hash was made at another cost than the present one."""
