"""Serves by uvicorn, on asyncio and uvloop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from composition.hosting.listening import BACKLOG_MAX
from composition.hosting.servers import KEEP_ALIVE_S, REQUEST_HEAD_BYTES_MAX, ServerFailed, Stop, Tls
from domain.realtime.frames import FRAME_BYTES_MAX
from domain.realtime.protocol import PING_INTERVAL_S


async def uvicorn_on_asyncio(
    root: Any, bound: socket.socket, tls: Tls | None, stop: Stop, *, grace_s: float
) -> None:
    """Serves in the running loop until `stop` returns. Takes over the socket, and leaves signals alone."""
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
        # uvicorn exits when the lifespan fails; only `main` may end this process.
        raise ServerFailed("uvicorn gave up") from error
    finally:
        watcher.cancel()
