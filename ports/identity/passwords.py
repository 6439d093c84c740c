"""Password hashing: slow on purpose, so bounded and off the event loop; and what is not worth hashing."""

from __future__ import annotations

from collections.abc import Container
from typing import Protocol

CommonPasswords = Container[str]
"""Passwords that everybody tries first, as `domain.identity.users.uniqueness_key` makes them."""


class PasswordHasher(Protocol):
    """Raises `ports.runtime.Overloaded` when too many wait already: nothing was computed."""

    async def hash(self, password: bytes) -> str:
        """A PHC string with a salt of its own."""

    async def verify(self, password: bytes, encoded: str | None) -> bool:
        """False for None too, at the same cost: an unknown user must not answer faster."""

    def needs_rehash(self, encoded: str) -> bool:
        """Whether it was made at another cost than today's."""
