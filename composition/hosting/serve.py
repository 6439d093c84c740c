"""`creditctl serve` and `demo`: one process that serves, or a supervisor of several."""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from composition.config.load import load_found
from composition.config.settings import Settings
from composition.hosting.heartbeat import Heartbeat
from composition.hosting.logging import configure_logging
from composition.hosting.options import ServeOptions
from composition.hosting.process import STOP_EXTRA_S_MAX
from composition.hosting.servers import ServerName

if TYPE_CHECKING:
    from composition.config.secrets import Secrets

EXIT_FAILED = 1
LINK_DIRECTORY = "CREDITCTL_LINK_DIR"
"""Where the workers of one supervisor meet. Not a setting: the supervisor makes it, for its workers only."""
WORKERS = "CREDITCTL_WORKERS"
"""How many they are: the supervisor says it to each."""

_log = logging.getLogger("credit.configuration")


def serve(options: ServeOptions, environ: Mapping[str, str]) -> int:
    """The exit code. Raises `ConfigurationInvalid`."""
    # A supervisor imports no driver, which would double its memory; its workers show them the addresses.
    everything, secrets = load_found(environ, options.store, drivers=options.workers == 1)
    settings = everything.settings
    try:
        configure_logging(
            level=settings.log_level.value, directory=settings.log_dir, worker=options.worker or 0
        )
        for note in everything.notes() if options.worker is None else ():
            _log.warning("configuration: %s", note)
        if options.workers > 1:
            return _supervise(options, settings, environ)
        return _serve_here(options, settings, secrets)
    except OSError as error:
        return _failed(f"{error.filename or options.address}: {error.strerror}")


def _failed(reason: str) -> int:
    print(f"creditctl: {reason}", file=sys.stderr, flush=True)
    return EXIT_FAILED


def _say(text: str) -> None:
    print(text, flush=True)


def _serve_here(options: ServeOptions, settings: Settings, secrets: Secrets) -> int:
    from composition.hosting.asgi import Root, reason_of  # noqa: PLC0415 - a supervisor needs none of this
    from composition.hosting.listen import bound_socket  # noqa: PLC0415
    from composition.hosting.process import end_at_once, run  # noqa: PLC0415
    from composition.hosting.service import assemble  # noqa: PLC0415
    from composition.hosting.startup import Startup  # noqa: PLC0415
    from composition.hosting.worker_metrics import metrics_of  # noqa: PLC0415

    bound = bound_socket(options.address, shared=options.worker is not None)
    # Without the supervisor that made it a directory is somebody else's.
    is_worker = options.worker is not None
    link_directory = _directory(LINK_DIRECTORY) if is_worker else None
    processes = int(os.environ.get(WORKERS, "1")) if is_worker else 1
    metrics = metrics_of(os.environ, options.worker)
    platform, manager = assemble(
        options.store, options.runtime, settings, secrets, metrics, link_directory, processes
    )
    heartbeat = None if options.ready_fd is None else Heartbeat(options.ready_fd)
    startup = Startup(options=options, manager=manager, bound=bound, say=_say, heartbeat=heartbeat)
    root = Root(runtime=platform.runtime, service=manager, on_ready=startup.ready)
    grace_s = settings.shutdown_grace_ms / 1000

    async def serving(stop: Callable[[], Awaitable[Any]]) -> None:
        await startup.carry(root, stop, grace_s=grace_s)

    def beat() -> None:
        if heartbeat is not None:
            heartbeat.beat()
        metrics.note_time()

    try:
        run(
            options.runtime,
            serving,
            drain=manager.drain,
            grace_s=grace_s,
            leash=is_worker,
            beat=beat if is_worker else None,
        )
    except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - said in one line, logged by who raised it
        if root.failure is None:
            return _failed(reason_of(error))
    code = 0 if root.failure is None else _failed(reason_of(root.failure))
    if options.server is ServerName.GRANIAN:
        # Its threads may want the interpreter while that is being torn down, which aborts the process
        # after all went well (emmett-framework/granian#799): so it is not torn down.
        atexit.register(end_at_once, code)
    return code


def _directory(variable: str) -> Path | None:
    directory = os.environ.get(variable)
    return Path(directory) if directory else None


def _supervise(options: ServeOptions, settings: Settings, environ: Mapping[str, str]) -> int:
    from composition.hosting.listen import address_of, bound_socket  # noqa: PLC0415 - only a supervisor needs it
    from composition.hosting.runtime_directory import runtime_directory  # noqa: PLC0415
    from composition.hosting.startup import url_of  # noqa: PLC0415
    from composition.hosting.supervisor import Plan, Supervisor  # noqa: PLC0415
    from composition.hosting.worker_metrics import WorkerTables  # noqa: PLC0415

    # Held, never listened on: it fails now when the port is taken, and keeps the port between restarts.
    with (
        bound_socket(options.address, shared=True) as reserved,
        runtime_directory(settings.runtime_dir) as link_directory,
    ):
        address = address_of(reserved)
        tables = WorkerTables(options.workers)

        def command(index: int, pipe: int, first: bool) -> list[str]:
            arguments = options.worker_arguments(address, index, pipe, first=first)
            return [sys.executable, "-m", "composition", *arguments]

        plan = Plan(
            workers=options.workers,
            command=command,
            environ={
                **environ,
                **tables.environ(),
                LINK_DIRECTORY: str(link_directory),
                WORKERS: str(options.workers),
            },
            keep=tables.descriptors,
            stop_s_max=settings.shutdown_grace_ms / 1000 + STOP_EXTRA_S_MAX + 5.0,
            silence_s_max=settings.worker_timeout_ms / 1000,
            on_ready=lambda: _say(f"serving on {url_of(options, address)} ({options.workers} workers)"),
            on_death=tables.forget,
            on_restart=tables.count_restart,
            on_change=tables.show,
        )
        return Supervisor(plan).run()
