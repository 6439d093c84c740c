"""Serves by Hypercorn, which carries the service on every runtime.

A fault of one connection ends that connection alone. Hypercorn runs each connection as a task of its server,
and lets every exception of its protocol classes through: on trio that would end the nursery of all
connections, and with it the server. And an answer on HTTP/2 that no client reads any more would wait for
ever.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from types import ModuleType
from typing import Any

from composition.hosting.listening import BACKLOG_MAX
from composition.hosting.servers import KEEP_ALIVE_S, REQUEST_HEAD_BYTES_MAX, Stop, Tls
from domain.realtime.frames import FRAME_BYTES_MAX

HTTP2_STREAMS_MAX = 128
LIFESPAN_S_MAX = 60.0
LEAVING_S_MAX = 60.0
"""The time that requests of a client may take after it has gone, or has closed its direction."""

_log = logging.getLogger("credit.connections")


def hypercorn_config(bound: socket.socket, tls: Tls | None, *, grace_s: float) -> Any:
    """Hypercorn's settings for one process. Duplicates the socket."""
    from hypercorn.config import Config  # noqa: PLC0415 - each server is imported only when it serves

    config = Config()
    config.bind = [f"fd://{os.dup(bound.fileno())}"]
    config.backlog = BACKLOG_MAX
    config.include_server_header = False
    config.accesslog = None
    config.loglevel = "WARNING"
    config.graceful_timeout = grace_s
    config.shutdown_timeout = config.startup_timeout = LIFESPAN_S_MAX
    config.keep_alive_timeout = KEEP_ALIVE_S
    config.keep_alive_max_requests = 1_000_000
    config.h11_max_incomplete_size = REQUEST_HEAD_BYTES_MAX
    config.h2_max_concurrent_streams = HTTP2_STREAMS_MAX
    config.websocket_max_message_size = FRAME_BYTES_MAX
    # The task of Hypercorn's own pings sleeps on after a connection has closed, and holds it open that long.
    # Clients ping, as the protocol says, and TCP keep-alive finds those that are gone.
    config.websocket_ping_interval = None
    if tls is not None:
        config.certfile, config.keyfile = str(tls.certificate), str(tls.key)
        # Read now: Hypercorn would read them after the service has been announced.
        context = config.create_ssl_context()
        config.create_ssl_context = lambda: context  # type: ignore[method-assign]  # read once
    return config


async def hypercorn_on_asyncio(root: Any, config: Any, stop: Stop) -> None:
    """Serves until `stop` returns and the requests in flight have ended."""
    from hypercorn.asyncio import run, serve  # noqa: PLC0415

    contain_on_asyncio(run)
    await serve(root, config, shutdown_trigger=stop, mode="asgi")


async def hypercorn_on_trio(root: Any, config: Any, stop: Stop) -> None:
    """`hypercorn_on_asyncio` on trio."""
    from hypercorn.trio import run, serve  # noqa: PLC0415

    contain_on_trio(run)
    await serve(root, config, shutdown_trigger=stop, mode="asgi")


class _Contained:
    """A mixin before a class whose `run` serves a connection, and closes it however it ends."""

    async def run(self) -> None:
        try:
            await super().run()  # type: ignore[misc]  # of the class behind the mixin
        except* Exception as failures:  # noqa: BLE001 - no fault may reach other connections
            _log.error("a connection failed and is closed", exc_info=failures)


class _OnAsyncio(_Contained):
    async def run(self) -> None:
        try:
            async with asyncio.timeout(None) as self._leaving:
                await super().run()
        except TimeoutError:
            _log.debug("a connection was left, and what it had asked was not done in time")
        except asyncio.CancelledError:
            # The connection ends here, which asyncio would report as an error.
            _log.warning("a connection was cut off, since the service stops")

    async def _read_data(self) -> None:
        await super()._read_data()  # type: ignore[misc]
        self._leaving.reschedule(asyncio.get_running_loop().time() + LEAVING_S_MAX)


def contain_on_asyncio(server: ModuleType) -> None:
    """Contains the faults of connections in `hypercorn.asyncio.run`, by the class that it looks up.

    May be called again.
    """
    if not issubclass(server.TCPServer, _Contained):
        server.TCPServer = type("Contained", (_OnAsyncio, server.TCPServer), {})  # type: ignore[attr-defined]


def contain_on_trio(server: ModuleType) -> None:
    """Contains the faults of connections in `hypercorn.trio.run`. May be called again."""
    import trio  # noqa: PLC0415 - trio costs others' start
    from hypercorn.events import Closed, Event  # noqa: PLC0415 - a server is imported only when it serves

    class OnTrio(_Contained):
        async def run(self) -> None:
            with trio.CancelScope() as self._leaving:
                await super().run()

        async def _read_data(self) -> None:
            await super()._read_data()  # type: ignore[misc]
            self._leaving.deadline = trio.current_time() + LEAVING_S_MAX

        async def protocol_send(self, event: Event) -> None:
            try:
                await super().protocol_send(event)  # type: ignore[misc]
            except trio.BusyResourceError:
                # Another task is closing the stream: the peer is gone, as after any other failure to send.
                await self.protocol.handle(Closed())  # type: ignore[attr-defined]

    if not issubclass(server.TCPServer, _Contained):
        server.TCPServer = type("Contained", (OnTrio, server.TCPServer), {})  # type: ignore[attr-defined]
