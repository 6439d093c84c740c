"""A TCP proxy whose connections can be refused, slowed, frozen, and cut at a chosen moment.

It stands between a client and a server of 127.0.0.1 and understands nothing of what passes, TLS included:
the certificate fits, because it names the address and not the port. A request is told from small talk (a
handshake, a heartbeat, a read) by its size alone, so tests make the requests that they mean large.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Coroutine, Iterator
from enum import Enum
from typing import Any, Final

from tests.servers.process import free_port

HOST: Final = "127.0.0.1"
CHUNK_BYTES_MAX: Final = 64 * 1024
CALL_S_MAX: Final = 10.0


class Cut(Enum):
    """Where the connection of a large request ends."""

    REQUEST = "request"
    """Within the request: the server never has all of it."""
    ANSWER = "answer"
    """Between the request and its answer: the server has done what was asked, and nobody is told."""


class FaultProxy:
    """Listens at `port` while its `running` block lasts. Every method may be called from any thread, and has
    taken effect when it returns; the faults last until `heal`."""

    def __init__(self, upstream_port: int) -> None:
        self.port = free_port()
        self.cuts = 0
        """Connections that were cut at a large request."""
        self._upstream_port = upstream_port
        self._delay_s = 0.0
        self._cut: Cut | None = None
        self._large_bytes = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._loop: asyncio.AbstractEventLoop | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[FaultProxy]:
        self._loop = loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="fault proxy", daemon=True)
        thread.start()
        try:
            self._call(self._listen())
            yield self
        finally:
            self._call(self._close())
            loop.call_soon_threadsafe(loop.stop)
            thread.join(CALL_S_MAX)
            loop.close()

    def heal(self) -> None:
        """All passes again. What was frozen or late arrives now, its sender being there or not."""
        self._call(self._heal())

    def refuse(self) -> None:
        """Resets every connection, and nobody gets a new one."""
        self._call(self._refuse())

    def lead_to(self, upstream_port: int) -> None:
        """New connections go to another server; those that there are stay where they are."""
        self._upstream_port = upstream_port

    def delay(self, seconds: float) -> None:
        """Each piece on its way to the server takes so much longer."""
        self._call(self._set(delay_s=seconds))

    def freeze(self) -> None:
        """Connections are accepted and kept, and nothing passes either way."""
        self._call(self._set(frozen=True))

    def cut(self, where: Cut, *, large_bytes: int) -> None:
        """Cuts the connection of each request of at least so many bytes."""
        self._call(self._set(cut=where, large_bytes=large_bytes))

    def _call(self, work: Coroutine[Any, Any, None]) -> None:
        assert self._loop is not None, "faults happen while it runs"
        asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_S_MAX)

    # --- below, everything runs in the proxy's own thread

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, HOST, self.port)

    async def _set(
        self, *, delay_s: float = 0.0, frozen: bool = False, cut: Cut | None = None, large_bytes: int = 0
    ) -> None:
        self._delay_s, self._cut, self._large_bytes = delay_s, cut, large_bytes
        if frozen:
            self._flowing.clear()
        else:
            self._flowing.set()

    async def _heal(self) -> None:
        await self._set()
        await self._listen()

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._writers:
            # `abort` and not `close`: a close would first send what is buffered.
            writer.transport.abort()

    async def _close(self) -> None:
        await self._refuse()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(HOST, self._upstream_port)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(upstream_writer)
        link = _Link(self, writer, upstream_writer)
        try:
            await asyncio.gather(link.carry_requests(reader), link.carry_answers(upstream_reader))
        except asyncio.CancelledError:
            # Only `_close` cancels, and this task ends here: asyncio would report it as a failed handler.
            return
        finally:
            link.abort()
            self._writers -= {writer, upstream_writer}

    async def let_pass(self, *, to_server: bool) -> None:
        """Returns when a piece may go on."""
        if to_server and self._delay_s:
            await asyncio.sleep(self._delay_s)
        await self._flowing.wait()

    def cuts_at(self, where: Cut, asked_bytes: int) -> bool:
        """Whether this request's connection ends here; counts it then."""
        is_cut = self._cut is where and asked_bytes >= self._large_bytes
        self.cuts += is_cut
        return is_cut


class _Link:
    """One client's connection, and the one that the proxy made to the server for it."""

    def __init__(self, proxy: FaultProxy, client: asyncio.StreamWriter, server: asyncio.StreamWriter) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._asked_bytes = 0
        """Sent by the client since the server last said something."""

    async def carry_requests(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES_MAX):
                await self._proxy.let_pass(to_server=True)
                self._asked_bytes += len(chunk)
                if self._proxy.cuts_at(Cut.REQUEST, self._asked_bytes):
                    # All but this piece may have gone: without its end the server does nothing.
                    self._server.write(chunk[: len(chunk) // 2])
                    self.abort(but_send=self._server)
                    return
                self._server.write(chunk)
                await self._server.drain()
        # What the client sent before it went away is still on its way; the server is told after that.
        self._server.close()

    async def carry_answers(self, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while chunk := await reader.read(CHUNK_BYTES_MAX):
                await self._proxy.let_pass(to_server=False)
                if self._proxy.cuts_at(Cut.ANSWER, self._asked_bytes):
                    self.abort()
                    return
                self._asked_bytes = 0
                self._client.write(chunk)
                await self._client.drain()
        self._client.close()

    def abort(self, *, but_send: asyncio.StreamWriter | None = None) -> None:
        """Ends both sides at once, without a word to either; `but_send` is emptied before."""
        for writer in (self._client, self._server):
            if writer is but_send:
                writer.close()
            else:
                writer.transport.abort()
