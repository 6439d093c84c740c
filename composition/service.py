"""Puts a service together for one process: runtime, clock, metrics, store and manager."""

from __future__ import annotations

from pathlib import Path

from adapters.metrics.prometheus import PrometheusMetrics
from adapters.runtime.system import SystemClock, SystemEntropy
from composition.app_manager import AppManager
from composition.build import Surroundings
from composition.process import RuntimeName, make_runtime
from composition.secrets import Secrets
from composition.settings import Settings
from composition.stores import StoreName, Stores


def assemble(
    store: StoreName,
    runtime: RuntimeName,
    settings: Settings,
    secrets: Secrets,
    metrics_directory: Path | None = None,
) -> tuple[Surroundings, AppManager]:
    """Nothing is opened yet: that happens when the manager starts, inside the runtime's loop."""
    around = Surroundings(
        runtime=make_runtime(runtime),
        clock=SystemClock(),
        entropy=SystemEntropy(),
        metrics=PrometheusMetrics(directory=metrics_directory),
    )

    async def open_stores() -> Stores:
        return await stores_of(store, around, settings, secrets)

    return around, AppManager(around=around, settings=settings, secrets=secrets, open_stores=open_stores)


async def stores_of(store: StoreName, around: Surroundings, settings: Settings, secrets: Secrets) -> Stores:
    """The drivers of the live store are imported only when it is meant."""
    if store is StoreName.MEMORY:
        from composition.memory_store import memory_store  # noqa: PLC0415

        return memory_store(settings, around.clock)
    from composition.live_store import live_store  # noqa: PLC0415

    return await live_store(
        runtime=around.runtime, settings=settings, secrets=secrets, entropy=around.entropy
    )
