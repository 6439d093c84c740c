"""Whether Redis does its work: decides and remembers, and hands messages on."""

from __future__ import annotations

from functools import partial

from adapters.redis.bus import RedisBus
from adapters.redis.driver.interface import DEPENDENCY, RedisDriver
from adapters.redis.key_names import SESSION_GROUPS
from adapters.redis.limits.limiter import RedisLimiter
from ports.health import Probe


class RedisProbe:
    """Does what the limiter does: a decision, a ban's place in the list, a revocation, about no real user,
    within the driver's deadlines and over each of its connections. Its writes end by themselves in two
    minutes.

    In a cluster it does so in many slots, so that each node has its share.
    """

    def __init__(self, *, driver: RedisDriver, limiter: RedisLimiter) -> None:
        self._driver = driver
        self._limiter = limiter

    @property
    def name(self) -> str:
        return DEPENDENCY

    @property
    def role(self) -> str:
        return "limiter"

    async def check(self) -> None:
        await self._driver.reach()
        slots = SESSION_GROUPS if self._driver.is_cluster else 1
        await self._driver.together([partial(self._limiter.try_out, number) for number in range(slots)])


class RedisBusProbe:
    """Whether this process's messages come back to it; its beat has tried that within seconds."""

    def __init__(self, *, bus: RedisBus) -> None:
        self._bus = bus

    @property
    def name(self) -> str:
        return DEPENDENCY

    @property
    def role(self) -> str:
        return "bus"

    async def check(self) -> None:
        self._bus.check_hearing()


def _proof(probe: RedisProbe, bus_probe: RedisBusProbe) -> tuple[Probe, Probe]:
    """mypy holds the adapters to their port here."""
    return probe, bus_probe
