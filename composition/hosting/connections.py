"""What one connection meets ends that connection, and nothing else.

Hypercorn runs each connection as a task of its server, and lets through whatever its protocol classes raise.
On trio that ends the nursery of all connections, and with it the server. And an answer on HTTP/2 that nobody
reads any more waits for ever.
"""

from __future__ import annotations

import asyncio
import logging
from types import ModuleType

LEAVING_S_MAX = 60.0
"""After a client has gone, or has ended its direction, for what it asked."""

_log = logging.getLogger("credit.connections")


class _Contained:
    """Stands before a class that has `run`, which closes its connection however it ends."""

    async def run(self) -> None:
        try:
            await super().run()  # type: ignore[misc]  # of the class it stands before
        except* Exception as failures:  # noqa: BLE001 - whatever it is, other connections hear nothing of it
            _log.error("a connection failed and is closed", exc_info=failures)


class _OnAsyncio(_Contained):
    async def run(self) -> None:
        try:
            async with asyncio.timeout(None) as self._leaving:
                await super().run()
        except TimeoutError:
            _log.debug("a connection was left, and what it had asked was not done in time")
        except asyncio.CancelledError:
            # Nothing of the connection runs after this, and asyncio would report it as an error.
            _log.warning("a connection was cut off, since the service stops")

    async def _read_data(self) -> None:
        await super()._read_data()  # type: ignore[misc]
        self._leaving.reschedule(asyncio.get_running_loop().time() + LEAVING_S_MAX)


def contain_on_asyncio(server: ModuleType) -> None:
    """For `hypercorn.asyncio.run`: it looks up the class of connections by its name, and has no other place
    for it. May be called again."""
    if not issubclass(server.TCPServer, _Contained):
        server.TCPServer = type("Contained", (_OnAsyncio, server.TCPServer), {})  # type: ignore[attr-defined]


def contain_on_trio(server: ModuleType) -> None:
    """The same for `hypercorn.trio.run`."""
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
                # Another task is just closing the stream: its peer is gone, as for any other failure to send.
                await self.protocol.handle(Closed())  # type: ignore[attr-defined]

    if not issubclass(server.TCPServer, _Contained):
        server.TCPServer = type("Contained", (OnTrio, server.TCPServer), {})  # type: ignore[attr-defined]
