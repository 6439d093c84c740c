"""From the start of the service to its first request: bootstrap key, sample data, server, announcement."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Any

from composition.hosting.bootstrap_key import check_writable, first_line, place_of, write_private
from composition.hosting.granian_server import granian_on_asyncio
from composition.hosting.heartbeat import Heartbeat
from composition.hosting.hypercorn_server import hypercorn_config, hypercorn_on_asyncio, hypercorn_on_trio
from composition.hosting.lifespan import Root, StartFailed
from composition.hosting.listening import BACKLOG_MAX, Address, address_of
from composition.hosting.serve_options import ServeOptions
from composition.hosting.servers import ServerName
from composition.hosting.uvicorn_server import uvicorn_on_asyncio
from composition.managers.app_manager import AppManager
from composition.wiring.platform import RuntimeName
from domain.audit import SYSTEM, RequestContext

BOOTSTRAP_CONTEXT = RequestContext(request_id="bootstrap", actor=SYSTEM)


class Startup:
    """The steps of one process from the start of its manager to its announcement."""

    def __init__(
        self,
        *,
        options: ServeOptions,
        manager: AppManager,
        bound: socket.socket,
        print_line: Callable[[str], None],
        heartbeat: Heartbeat | None,
    ) -> None:
        self._options = options
        self._manager = manager
        self._bound = bound
        self._address = address_of(bound)
        self._print_line = print_line
        self._heartbeat = heartbeat
        self._key: str | None = None
        self._has_started = False
        self._tour: tuple[str, ...] = ()

    async def serve(self, root: Root, stop: Callable[[], Awaitable[Any]], *, grace_s: float) -> None:
        """Hands the socket to the chosen server and serves until `stop` returns."""
        options = self._options
        match options.server:
            case ServerName.HYPERCORN:
                config = hypercorn_config(self._bound, options.tls, grace_s=grace_s)
                on_trio = options.runtime is RuntimeName.TRIO
                await (hypercorn_on_trio if on_trio else hypercorn_on_asyncio)(root, config, stop)
            case ServerName.UVICORN:
                await uvicorn_on_asyncio(root, self._bound, options.tls, stop, grace_s=grace_s)
            case ServerName.GRANIAN:
                await granian_on_asyncio(
                    root,
                    self._bound,
                    options.tls,
                    stop,
                    has_started=lambda: self._has_started,
                    on_listening=self._announce,
                )

    async def ready(self) -> None:
        """Prepares the announcement once everything has started, then listens. Raises `StartFailed`."""
        options = self._options
        file = options.bootstrap_api_key_file
        if file is not None:
            try:
                check_writable(file)
            except OSError as error:
                raise StartFailed(f"no bootstrap key can be written to {file}: {error.strerror}") from error
        if file is not None or options.demo:
            self._key = await self._bootstrap_key()
        if options.demo:
            from composition.hosting.demo import sample_data, tour  # noqa: PLC0415 - for a demo alone

            await sample_data(self._manager.use_cases)
            self._tour = tour(options, url_of(options, self._address), self._key or "")
        self._has_started = True
        if options.server is ServerName.GRANIAN:
            return
        self._bound.listen(BACKLOG_MAX)
        if options.server is ServerName.HYPERCORN:
            # Hypercorn has a duplicate. This socket would keep the port open while the last requests end.
            self._bound.close()
        self._announce()

    def _announce(self) -> None:
        options = self._options
        if options.bootstrap_api_key_file is not None and self._key is not None:
            write_private(options.bootstrap_api_key_file, self._key)
        if self._heartbeat is not None:
            self._heartbeat.ready()
        if options.worker is None:
            how = f"{options.store.value} store, {options.runtime.value}, {options.server.value}"
            self._print_line(f"serving on {url_of(options, self._address)} ({how})")
            for line in self._tour:
                self._print_line(line)

    async def _bootstrap_key(self) -> str:
        """Replaces the bootstrap keys of this host and file, and the key in the file, which hosts may share.

        Keys that other hosts made for files of their own may be in use there, and stay.
        """
        file = self._options.bootstrap_api_key_file
        place, previous_text = (
            (socket.gethostname(), None) if file is None else (place_of(file), first_line(file))
        )
        created = await self._manager.use_cases.api_keys.bootstrap(
            place, BOOTSTRAP_CONTEXT, previous_text=previous_text
        )
        return created.text


def url_of(options: ServeOptions, address: Address) -> str:
    """The URL by which a client on this machine reaches the service."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address.host, address.host)  # noqa: S104 - compared
    return f"http{'s' if options.tls else ''}://{Address(host, address.port)}"
