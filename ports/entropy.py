"""Unpredictable bytes."""

from __future__ import annotations

from typing import Protocol


class Entropy(Protocol):
    """A cryptographically strong source of bytes; seeded in the simulation."""

    def token(self, size: int) -> bytes:
        """`size` random bytes."""
