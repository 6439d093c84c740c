"""Whether the parts that the service cannot do without do what they are wanted for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from ports.errors import DependencyUnavailable
from ports.health import Probe
from ports.runtime import DeadlineExceeded, Overloaded, Runtime, Task

PROBE_S_MAX = 2.0
READINESS_AGE_S_MAX = 0.5
"""Answers younger than this are given again: the route is uncounted, and must not be a lever on MongoDB."""

_log = logging.getLogger("credit.health")


class Part(NamedTuple):
    """A dependency, and what it is wanted for."""

    name: str
    role: str


class Readiness:
    """All probes at once, each in bounded time, and one round of them at a time."""

    def __init__(self, *, probes: Sequence[Probe], runtime: Runtime) -> None:
        self._probes = tuple(probes)
        self._runtime = runtime
        self._round: Task[tuple[Part, ...]] | None = None
        self._down: tuple[Part, ...] = ()
        self._checked_s: float | None = None

    async def down(self) -> tuple[Part, ...]:
        """Those that fail, each once, in the order of the probes."""
        age_s = None if self._checked_s is None else self._runtime.monotonic() - self._checked_s
        if age_s is not None and age_s < READINESS_AGE_S_MAX:
            return self._down
        # A supervised task, which no caller that goes away takes down for the others.
        if self._round is None:
            self._round = self._runtime.start(self._check_all, name="readiness")
        return await self._round.wait()

    async def _check_all(self) -> tuple[Part, ...]:
        try:
            tasks = [
                (Part(probe.name, probe.role), self._runtime.start(partial(self._check, probe), name="probe"))
                for probe in self._probes
            ]
            down = [part for part, task in tasks if not await task.wait()]
            self._down = tuple(dict.fromkeys(down))
            self._checked_s = self._runtime.monotonic()
            return self._down
        finally:
            self._round = None

    async def _check(self, probe: Probe) -> bool:
        try:
            async with self._runtime.deadline(PROBE_S_MAX):
                await probe.check()
        except (DependencyUnavailable, DeadlineExceeded, Overloaded):
            return False
        except Exception:  # noqa: BLE001 - a probe that fails in its own way is a part that is down
            _log.exception("the probe of %s failed", probe.name)
            return False
        return True
