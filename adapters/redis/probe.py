"""Whether Redis answers."""

from __future__ import annotations

from adapters.redis.driver import DEPENDENCY, Redis
from ports.health import Probe


class RedisProbe:
    """PING over each of the driver's connections, within its deadlines: the decisions' own count."""

    def __init__(self, *, driver: Redis) -> None:
        self._driver = driver

    @property
    def name(self) -> str:
        return DEPENDENCY

    async def check(self) -> None:
        await self._driver.reach()


def _proof(probe: RedisProbe) -> Probe:
    """mypy holds the adapter to its port here."""
    return probe
