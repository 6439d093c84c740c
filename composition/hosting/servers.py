"""The ASGI servers that can carry the service: Hypercorn on every runtime, two more on asyncio and uvloop."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from composition.hosting.connections import contain_on_asyncio, contain_on_trio
from composition.hosting.granian_sockets import closing_while_reading
from composition.hosting.listen import BACKLOG_MAX
from domain.realtime.frames import FRAME_BYTES_MAX
from domain.realtime.protocol import PING_INTERVAL_S

KEEP_ALIVE_S = 30.0
REQUEST_HEAD_BYTES_MAX = 32 << 10
HTTP2_STREAMS_MAX = 128
LIFESPAN_S_MAX = 60.0
LISTENING_POLL_S = 0.02

Stop = Callable[[], Awaitable[Any]]
"""Returns when the server should stop accepting."""


class ServerName(Enum):
    HYPERCORN = "hypercorn"
    UVICORN = "uvicorn"
    GRANIAN = "granian"

    @property
    def installed(self) -> bool:
        return find_spec(self.value) is not None


class ServerFailed(Exception):
    """The server ended by itself."""


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files."""

    certificate: Path
    key: Path

    def check(self) -> None:
        """Raises `OSError`, as `ssl.SSLError` is, for what no server can serve with; asks for nothing."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key, password="")


def hypercorn_config(bound: socket.socket, tls: Tls | None, *, grace_s: float) -> Any:
    """Hypercorn's settings for one process; it takes over a duplicate of the socket."""
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
    # Hypercorn's own pings sleep on after the connection has closed, and hold it open that long. Clients ping
    # as the protocol tells them to, and TCP keep-alive finds those that are gone.
    config.websocket_ping_interval = None
    if tls is not None:
        config.certfile, config.keyfile = str(tls.certificate), str(tls.key)
        # Read now: Hypercorn would read them when all else has started and "ready" was said.
        context = config.create_ssl_context()
        config.create_ssl_context = lambda: context  # type: ignore[method-assign]  # read once
    return config


async def hypercorn_on_asyncio(root: Any, config: Any, stop: Stop) -> None:
    """Serves until `stop` returns, then until requests in flight have ended."""
    from hypercorn.asyncio import run, serve  # noqa: PLC0415

    contain_on_asyncio(run)
    await serve(root, config, shutdown_trigger=stop, mode="asgi")


async def hypercorn_on_trio(root: Any, config: Any, stop: Stop) -> None:
    """The same on trio."""
    from hypercorn.trio import run, serve  # noqa: PLC0415

    contain_on_trio(run)
    await serve(root, config, shutdown_trigger=stop, mode="asgi")


async def uvicorn_on_asyncio(
    root: Any, bound: socket.socket, tls: Tls | None, stop: Stop, *, grace_s: float
) -> None:
    """uvicorn in the running loop; it takes over the socket. The signals stay ours."""
    import uvicorn  # noqa: PLC0415

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield

    config = uvicorn.Config(
        root,
        lifespan="on",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG_MAX,
        timeout_keep_alive=int(KEEP_ALIVE_S),
        timeout_graceful_shutdown=int(grace_s) or 1,
        ws_max_size=FRAME_BYTES_MAX,
        ws_ping_interval=PING_INTERVAL_S,
        ws_per_message_deflate=False,
        h11_max_incomplete_event_size=REQUEST_HEAD_BYTES_MAX,
        ssl_certfile=tls.certificate if tls else None,
        ssl_keyfile=tls.key if tls else None,
    )
    server = Server(config)

    async def stopping() -> None:
        await stop()
        server.should_exit = True

    watcher = asyncio.create_task(stopping())
    try:
        await server.serve(sockets=[bound])
    except SystemExit as error:
        # Its way of saying that the lifespan failed; nobody but `main` ends this process.
        raise ServerFailed("uvicorn gave up") from error
    finally:
        watcher.cancel()


async def granian_on_asyncio(
    root: Any,
    bound: socket.socket,
    tls: Tls | None,
    stop: Stop,
    *,
    has_started: Callable[[], bool],
    on_listening: Callable[[], None],
) -> None:
    """granian embedded in the running loop. It binds the port anew, so the socket is given up first."""
    from granian.constants import Interfaces  # noqa: PLC0415
    from granian.server.embed import Server  # noqa: PLC0415

    host, port = bound.getsockname()[:2]
    bound.close()
    server = Server(
        closing_while_reading(root),
        address=host,
        port=port,
        interface=Interfaces.ASGI,
        backlog=BACKLOG_MAX,
        log_enabled=False,
        ssl_cert=tls.certificate if tls else None,
        ssl_key=tls.key if tls else None,
    )

    async def stopping() -> None:
        await stop()
        server.stop()  # type: ignore[no-untyped-call]  # not annotated

    watchers = [
        asyncio.create_task(stopping()),
        asyncio.create_task(_when_listening(host, port, has_started, on_listening)),
    ]
    try:
        await server.serve()
    finally:
        for watcher in watchers:
            watcher.cancel()


async def _when_listening(
    host: str, port: int, has_started: Callable[[], bool], on_listening: Callable[[], None]
) -> None:
    """granian does not say when it accepts, so it is asked: not before this process has started, for until
    then another worker answers at the same port."""
    while True:
        if not has_started():
            await asyncio.sleep(LISTENING_POLL_S)
            continue
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await asyncio.sleep(LISTENING_POLL_S)
            continue
        writer.close()
        on_listening()
        return
