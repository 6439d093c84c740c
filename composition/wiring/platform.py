"""What one process gives to everything that runs in it: an event loop, time, chance and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec

from adapters.runtime.asyncio_runtime import AsyncioRuntime
from ports.clock import Clock
from ports.entropy import Entropy
from ports.ledger.worker_link import WorkerLink
from ports.metrics import Metrics
from ports.runtime import Runtime


class RuntimeName(Enum):
    ASYNCIO = "asyncio"
    UVLOOP = "uvloop"
    TRIO = "trio"

    @property
    def installed(self) -> bool:
        return self is RuntimeName.ASYNCIO or find_spec(self.value) is not None


def default_runtime() -> RuntimeName:
    """uvloop where it is installed, else asyncio."""
    return RuntimeName.UVLOOP if RuntimeName.UVLOOP.installed else RuntimeName.ASYNCIO


def make_runtime(name: RuntimeName) -> Runtime:
    """The runtime for this event loop, not running yet."""
    if name is RuntimeName.TRIO:
        from adapters.runtime.trio_runtime import TrioRuntime  # noqa: PLC0415 - trio costs others' start

        return TrioRuntime()
    return AsyncioRuntime("uvloop" if name is RuntimeName.UVLOOP else "asyncio")


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What every part of one process shares."""

    runtime: Runtime
    clock: Clock
    entropy: Entropy
    metrics: Metrics
    worker_link: WorkerLink | None = None
    """The link to the other workers of one supervisor; None in a process that serves alone."""
    processes: int = 1
    """Processes of this service that share the cores of the machine."""
