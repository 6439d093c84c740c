"""A bounded cache of values that can be computed again."""

from __future__ import annotations

from typing import Protocol

VALUE_BYTES_MAX = 64 * 1024


class Cache(Protocol):
    """May forget any value at any time, and may return one that was overwritten: a value has to show by
    itself whether it is valid. Every method raises `DependencyUnavailable`."""

    async def get(self, name: str) -> bytes | None:
        """The value under a name, as it was put; None when there is none."""

    async def put(self, name: str, value: bytes, *, ttl_ms: int) -> None:
        """Keeps a value for at most `ttl_ms`. Raises `ValueError` for more than `VALUE_BYTES_MAX` bytes."""
