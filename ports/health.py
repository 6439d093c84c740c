"""Whether a dependency answers."""

from __future__ import annotations

from typing import Protocol


class Probe(Protocol):
    """One dependency that the service cannot do without."""

    @property
    def name(self) -> str:
        """As operators know it: `mongo`, `redis`, …"""

    async def check(self) -> None:
        """Returns when it answers; raises `DependencyUnavailable` when it does not, in bounded time."""
