"""Whether a dependency does what it is wanted for."""

from __future__ import annotations

from typing import Protocol


class Probe(Protocol):
    """One dependency that the service cannot do without."""

    @property
    def name(self) -> str:
        """As operators know it: `mongo`, `redis`, …"""

    @property
    def role(self) -> str:
        """What it is wanted for: a dependency can do one thing and not another."""

    async def check(self) -> None:
        """Does the least of what the service does with it: to answer is not enough. Returns when that was
        done; raises `DependencyUnavailable` when it was not, in bounded time."""
