"""Password hashing: slow on purpose, so bounded and off the event loop."""

from __future__ import annotations

from typing import Protocol


class PasswordHasher(Protocol):
    """Raises `ports.runtime.Overloaded` when too many wait already: nothing was computed."""

    async def hash(self, password: bytes) -> str:
        """A PHC string with a salt of its own."""

    async def verify(self, password: bytes, encoded: str | None) -> bool:
        """False for None too, at the same cost: an unknown user must not answer faster."""

    def needs_rehash(self, encoded: str) -> bool:
        """Whether it was made at another cost than today's."""
