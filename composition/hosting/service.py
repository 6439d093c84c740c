"""Puts a service together for one process: runtime, clock, metrics, store and manager."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.metrics.prometheus import PrometheusMetrics
from adapters.runtime.system import SystemClock, SystemEntropy
from application.audit.trail import AuditCounter
from composition.config.secrets import Secrets
from composition.config.settings import Settings, StoreName
from composition.hosting.process import RuntimeName, make_runtime
from composition.managers.app_manager import AppManager
from composition.wiring.build import Platform
from composition.wiring.stores import Stores
from ports.ledger.worker_link import WorkerLink
from ports.metrics import Metrics
from ports.runtime import Runtime

if TYPE_CHECKING:
    from adapters.worker_link.directory import Sockets

_log = logging.getLogger("credit.service")


def assemble(
    store: StoreName,
    runtime: RuntimeName,
    settings: Settings,
    secrets: Secrets,
    metrics: Metrics | None = None,
    link_directory: Path | None = None,
    processes: int = 1,
) -> tuple[Platform, AppManager]:
    """Nothing is opened yet: that happens when the manager starts, inside the runtime's loop."""
    made = make_runtime(runtime)
    platform = Platform(
        runtime=made,
        clock=SystemClock(),
        entropy=SystemEntropy(),
        metrics=metrics or PrometheusMetrics(),
        worker_link=worker_link_of(made, runtime, link_directory),
        processes=processes,
    )

    async def open_stores() -> Stores:
        return await stores_of(store, platform, settings, secrets)

    return platform, AppManager(
        platform=platform, settings=settings, secrets=secrets, open_stores=open_stores
    )


def worker_link_of(runtime: Runtime, name: RuntimeName, directory: Path | None) -> WorkerLink | None:
    """None where no other worker shares the directory, or nobody could."""
    if directory is None:
        return None
    from adapters.worker_link.directory import DirectoryHost  # noqa: PLC0415 - a single worker needs none of it
    from adapters.worker_link.worker_link import StreamWorkerLink  # noqa: PLC0415

    try:
        return StreamWorkerLink(runtime, DirectoryHost(directory, _sockets(name)))
    except OSError as error:
        _log.warning("workers append to the ledger side by side: %s", error)
        return None


def _sockets(name: RuntimeName) -> Sockets:
    if name is RuntimeName.TRIO:
        from adapters.worker_link.trio_sockets import TrioSockets  # noqa: PLC0415 - trio costs others' start

        return TrioSockets()
    from adapters.worker_link.asyncio_sockets import AsyncioSockets  # noqa: PLC0415

    return AsyncioSockets()


async def stores_of(store: StoreName, platform: Platform, settings: Settings, secrets: Secrets) -> Stores:
    """The drivers of the live store are imported only when it is meant."""
    on_recorded = AuditCounter(platform.metrics)
    if store is StoreName.MEMORY:
        from composition.wiring.memory_store import memory_store  # noqa: PLC0415

        return memory_store(settings, platform.clock, on_recorded=on_recorded)
    from composition.wiring.live_store import live_store  # noqa: PLC0415

    return await live_store(
        runtime=platform.runtime,
        settings=settings,
        secrets=secrets,
        entropy=platform.entropy,
        on_recorded=on_recorded,
    )
