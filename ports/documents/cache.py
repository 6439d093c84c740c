"""A bounded place for what can be worked out again."""

from __future__ import annotations

from typing import Protocol

VALUE_BYTES_MAX = 64 * 1024


class Cache(Protocol):
    """May forget anything at any time, and may bring back what was overwritten: whoever reads a value
    has to see from the value itself whether it still is true. Raises `DependencyUnavailable`.
    """

    async def get(self, name: str) -> bytes | None:
        """What was put there under this very name, unchanged."""

    async def put(self, name: str, value: bytes, *, ttl_ms: int) -> None:
        """Kept for so long at most. `ValueError` for more than `VALUE_BYTES_MAX` bytes."""
