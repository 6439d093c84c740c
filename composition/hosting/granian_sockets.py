"""What granian needs done differently about WebSockets."""

from __future__ import annotations

import asyncio
from typing import Any

GONE = {"type": "websocket.disconnect", "code": 1000}


def closing_while_reading(application: Any) -> Any:
    """The application, whose WebSockets close though one of its tasks still waits for a frame.

    granian sends a close frame only when no receive is pending; with one it keeps silent, and the
    client never hears that it should go. So the close ends what is pending first.
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
                # Waited for from outside, so that only a close, or a caller's own end, cancels it.
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
