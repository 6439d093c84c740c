"""Serves by granian, on asyncio and uvloop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from composition.hosting.listening import BACKLOG_MAX
from composition.hosting.servers import Stop, Tls

LISTENING_POLL_S = 0.02
GONE = {"type": "websocket.disconnect", "code": 1000}


async def granian_on_asyncio(
    root: Any,
    bound: socket.socket,
    tls: Tls | None,
    stop: Stop,
    *,
    has_started: Callable[[], bool],
    on_listening: Callable[[], None],
) -> None:
    """Serves in the running loop until `stop` returns. Closes the socket: granian binds the port itself.

    `on_listening` is called once granian accepts connections, after `has_started` became true.
    """
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
    """Connects until granian accepts, since it does not announce that. Not before this process has started,
    as until then another worker would answer at the same port."""
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


def closing_while_reading(application: Any) -> Any:
    """The application, with WebSockets that close while one of its tasks waits for a frame.

    granian sends a close frame only while no receive is pending, and otherwise leaves the client waiting. So
    a close cancels the pending receive first.
    """

    async def wrapped(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "websocket":
            await application(scope, receive, send)
            return
        closed = False
        pending: asyncio.Future[Any] | None = None

        async def receive_until_closed() -> Any:
            nonlocal pending
            if closed:
                return GONE
            pending = asyncio.ensure_future(receive())
            try:
                # Awaited from outside, so that only a close or the end of the caller cancels it.
                await asyncio.wait([pending])
                return GONE if pending.cancelled() else pending.result()
            finally:
                pending.cancel()
                pending = None

        async def send_or_close(message: Any) -> None:
            nonlocal closed
            if message["type"] == "websocket.close":
                closed = True
                if pending is not None:
                    pending.cancel()
                    await asyncio.wait([pending])
            await send(message)

        await application(scope, receive_until_closed, send_or_close)

    return wrapped
