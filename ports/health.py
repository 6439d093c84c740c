"""Probes of the dependencies that the service needs."""

from __future__ import annotations

from typing import Protocol


class Probe(Protocol):
    """A probe of one need for one dependency."""

    @property
    def name(self) -> str:
        """The name of the dependency for operators: `mongo`, `redis`, …"""

    @property
    def role(self) -> str:
        """The need: a dependency may meet one and not another."""

    async def check(self) -> None:
        """Does the least of what the service needs, which a mere answer does not prove.

        Returns, or raises `DependencyUnavailable`, in bounded time.
        """
