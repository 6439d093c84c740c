"""`creditctl serve` and `demo`: one process that serves, or a supervisor of several."""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from composition.config.load import load_configuration
from composition.config.settings import Settings
from composition.exit_codes import failed
from composition.hosting.heartbeat import Heartbeat
from composition.hosting.logging import configure_logging
from composition.hosting.process import STOP_EXTRA_S_MAX
from composition.hosting.serve_options import ServeOptions
from composition.hosting.servers import ServerName

if TYPE_CHECKING:
    from composition.config.secrets import Secrets

LINK_DIRECTORY = "CREDITCTL_LINK_DIR"
"""The variable with the directory where workers meet. No setting: the supervisor sets it."""
WORKERS = "CREDITCTL_WORKERS"
"""The variable with the number of workers, which the supervisor sets, too."""

_log = logging.getLogger("credit.configuration")


def serve(options: ServeOptions, environ: Mapping[str, str]) -> int:
    """Serves until the end. The exit code. Raises `ConfigurationInvalid`."""
    # A supervisor imports no driver, which would double its memory: its workers check the addresses.
    configuration, secrets = load_configuration(environ, options.store, drivers=options.workers == 1)
    settings = configuration.settings
    try:
        configure_logging(
            level=settings.log_level.value, directory=settings.log_dir, worker=options.worker or 0
        )
        for note in configuration.notes() if options.worker is None else ():
            _log.warning("configuration: %s", note)
        if options.workers > 1:
            return _supervise(options, settings, environ)
        return _serve_here(options, settings, secrets)
    except OSError as error:
        return failed(f"{error.filename or options.address}: {error.strerror}")


def _print(text: str) -> None:
    print(text, flush=True)


def _serve_here(options: ServeOptions, settings: Settings, secrets: Secrets) -> int:
    from composition.hosting.assembly import assemble  # noqa: PLC0415
    from composition.hosting.lifespan import Root, reason_of  # noqa: PLC0415 - a supervisor needs none of this
    from composition.hosting.listening import bound_socket  # noqa: PLC0415
    from composition.hosting.process import end_at_once, run  # noqa: PLC0415
    from composition.hosting.startup import Startup  # noqa: PLC0415
    from composition.hosting.worker_metrics import metrics_of  # noqa: PLC0415

    bound = bound_socket(options.address, shared=options.worker is not None)
    # Without a supervisor, a directory in the environment belongs to another one.
    is_worker = options.worker is not None
    link_directory = _directory(LINK_DIRECTORY) if is_worker else None
    processes = int(os.environ.get(WORKERS, "1")) if is_worker else 1
    metrics = metrics_of(os.environ, options.worker)
    platform, manager = assemble(
        options.store, options.runtime, settings, secrets, metrics, link_directory, processes
    )
    heartbeat = None if options.ready_fd is None else Heartbeat(options.ready_fd)
    startup = Startup(options=options, manager=manager, bound=bound, print_line=_print, heartbeat=heartbeat)
    root = Root(runtime=platform.runtime, service=manager, on_ready=startup.ready)
    grace_s = settings.shutdown_grace_ms / 1000

    async def serving(stop: Callable[[], Awaitable[Any]]) -> None:
        await startup.serve(root, stop, grace_s=grace_s)

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
    except (Exception, BaseExceptionGroup) as error:  # noqa: BLE001 - reported in one line, logged where raised
        if root.failure is None:
            return failed(reason_of(error))
    code = 0 if root.failure is None else failed(reason_of(root.failure))
    if options.server is ServerName.GRANIAN:
        # Threads of granian may use the interpreter during its shutdown, which aborts the process after a
        # good end (emmett-framework/granian#799). So the shutdown is skipped.
        atexit.register(end_at_once, code)
    return code


def _directory(variable: str) -> Path | None:
    directory = os.environ.get(variable)
    return Path(directory) if directory else None


def _supervise(options: ServeOptions, settings: Settings, environ: Mapping[str, str]) -> int:
    from composition.hosting.listening import address_of, bound_socket  # noqa: PLC0415 - only a supervisor needs it
    from composition.hosting.runtime_directory import runtime_directory  # noqa: PLC0415
    from composition.hosting.startup import url_of  # noqa: PLC0415
    from composition.hosting.supervisor import Plan, Supervisor  # noqa: PLC0415
    from composition.hosting.worker_metrics import WorkerTables  # noqa: PLC0415

    # Bound and never listening: it fails now when the port is taken, and keeps the port between restarts.
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
            on_ready=lambda: _print(f"serving on {url_of(options, address)} ({options.workers} workers)"),
            on_death=tables.forget,
            on_restart=tables.count_restart,
            on_change=tables.show,
        )
        return Supervisor(plan).run()
