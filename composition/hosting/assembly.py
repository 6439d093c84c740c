"""Assembles the service of one process: runtime, clock, metrics, store and manager."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.metrics.prometheus import PrometheusMetrics
from adapters.runtime.system import SystemClock, SystemEntropy
from composition.config.secrets import Secrets
from composition.config.settings import Settings, StoreName
from composition.managers.app_manager import AppManager
from composition.wiring.open_stores import open_stores
from composition.wiring.platform import Platform, RuntimeName, make_runtime
from composition.wiring.stores import Stores
from ports.ledger.worker_link import WorkerLink
from ports.metrics import Metrics
from ports.runtime import Runtime

if TYPE_CHECKING:
    from adapters.worker_link.directory import Sockets

_log = logging.getLogger("credit.service")


def assemble(
    store: StoreName,
    runtime_name: RuntimeName,
    settings: Settings,
    secrets: Secrets,
    metrics: Metrics | None = None,
    link_directory: Path | None = None,
    processes: int = 1,
) -> tuple[Platform, AppManager]:
    """The platform and the manager of a process. The manager opens the store when it starts.

    `link_directory` is the directory in which the workers of one supervisor meet.
    """
    runtime = make_runtime(runtime_name)
    platform = Platform(
        runtime=runtime,
        clock=SystemClock(),
        entropy=SystemEntropy(),
        metrics=metrics or PrometheusMetrics(),
        worker_link=worker_link_in(link_directory, runtime, runtime_name),
        processes=processes,
    )

    async def open_chosen() -> Stores:
        return await open_stores(store, platform, settings, secrets)

    return platform, AppManager(
        platform=platform, settings=settings, secrets=secrets, open_stores=open_chosen
    )


def worker_link_in(directory: Path | None, runtime: Runtime, name: RuntimeName) -> WorkerLink | None:
    """The link to the workers that share the directory; None without a directory, or where it is unusable."""
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
