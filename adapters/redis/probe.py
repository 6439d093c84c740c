"""Whether Redis answers."""

from __future__ import annotations

from adapters.redis.driver import DEPENDENCY, RedisDriver, accepted
from ports.health import Probe


class RedisProbe:
    """PING through the driver, so within its deadlines: it is the decisions' own connection that counts."""

    def __init__(self, *, driver: RedisDriver) -> None:
        self._driver = driver

    @property
    def name(self) -> str:
        return DEPENDENCY

    async def check(self) -> None:
        accepted(await self._driver.execute("PING"))


def _proof(probe: RedisProbe) -> Probe:
    """mypy holds the adapter to its port here."""
    return probe
