"""The side of the worker that holds a book: takes requests, answers them, and goes in order."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from adapters.worker_link.frames import BadFrame, FrameReader, Kind, LinkFrame, encoded
from adapters.worker_link.host import HostLock, Listener, Stream
from adapters.worker_link.messages import BadMessage, answers, failure, submissions_of
from ports.errors import DependencyUnavailable
from ports.ledger.worker_link import BookHold, Serve
from ports.runtime import DeadlineExceeded, Event, Overloaded, Runtime, Task, TaskCancelled

RELEASE_S_MAX: Final = 10.0
"""How long whoever lets a book go waits for what it took to be committed."""
REQUESTS_UNDER_WAY_MAX: Final = 256
"""Of one connection; more of them wait unread."""
LOOK_INTERVAL_S: Final = 1.0
"""How often a holder looks whether others can still find it."""
ACCEPT_PAUSE_S: Final = 0.1
"""After an accept that failed, as it does without a free descriptor."""

_log = logging.getLogger("credit.worker_link")


class StreamBookHold:
    def __init__(
        self,
        runtime: Runtime,
        lock: HostLock,
        listener: Listener,
        serve: Serve,
        *,
        on_end: Callable[[], None],
    ) -> None:
        self._runtime = runtime
        self._on_end = on_end
        self._lock = lock
        self._listener = listener
        self._serve = serve
        self._sessions: set[_Session] = set()
        self._lost = runtime.event()
        self._accepting: Task[None] | None = runtime.start(self._accept, name="accept handed commands")
        self._looking = runtime.start(self._look, name="look whether others find the holder")

    async def lost(self) -> None:
        await self._lost.wait()

    async def release(self) -> None:
        accepting, self._accepting = self._accepting, None
        if accepting is None:
            return
        for session in self._sessions:
            session.take_no_more()
        accepting.cancel()
        self._looking.cancel()
        self._lost.set()
        try:
            with suppress(TaskCancelled):
                await accepting.wait()
            self._listener.close()
            with suppress(DeadlineExceeded):
                async with self._runtime.deadline(RELEASE_S_MAX):
                    for session in list(self._sessions):
                        await session.finish()
        finally:
            # The lock before the connections: their end is what the other workers wait for.
            self._lock.release()
            for session in list(self._sessions):
                session.end()
            self._on_end()

    async def _look(self) -> None:
        """The directory is where anybody may tidy up: another worker would then hold the book as well."""
        while self._lock.is_in_place() and self._listener.is_in_place():
            await self._runtime.sleep(LOOK_INTERVAL_S)
        self._lost.set()

    async def _accept(self) -> None:
        while True:
            try:
                stream = await self._listener.accept()
            except OSError as error:
                _log.warning("a worker that hands commands over was not let in: %s", error)
                await self._runtime.sleep(ACCEPT_PAUSE_S)
                continue
            session = _Session(self._runtime, stream, self._serve, self._sessions)
            self._sessions.add(session)
            self._runtime.start(session.run, name="take handed commands")


class _Session:
    """One worker's connection."""

    def __init__(self, runtime: Runtime, stream: Stream, serve: Serve, sessions: set[_Session]) -> None:
        self._runtime = runtime
        self._stream = stream
        self._serve = serve
        self._sessions = sessions
        self._sending = runtime.lock()
        self._under_way = 0
        self._fewer: Event | None = None
        self._last = 0
        self._closing = False

    async def run(self) -> None:
        reader = FrameReader()
        try:
            while data := await self._stream.receive():
                for frame in reader.feed(data):
                    self._take(frame)
                while self._under_way >= REQUESTS_UNDER_WAY_MAX:
                    await self._one_fewer()
        except (OSError, BadFrame) as error:
            _log.warning("the connection of a worker that hands commands over broke: %s", error)
        finally:
            self._sessions.discard(self)
            self._stream.end()
            # What was taken is committed all the same; nobody hears of it any more.
            try:
                while self._under_way:
                    await self._one_fewer()
            finally:
                self._stream.close()

    def take_no_more(self) -> None:
        self._closing = True

    async def finish(self) -> None:
        """Says which requests are not taken any more, and answers the others."""
        self.take_no_more()
        await self._send([encoded(LinkFrame(Kind.CLOSING, self._last, b""))])
        while self._under_way:
            await self._one_fewer()

    def end(self) -> None:
        self._stream.end()

    def _take(self, frame: LinkFrame) -> None:
        if frame.kind is Kind.PING:
            pong = encoded(LinkFrame(Kind.PONG, frame.number, b""))
            self._runtime.start(lambda: self._send([pong]), name="answer a ping")
            return
        if frame.kind is not Kind.REQUEST or frame.number <= self._last:
            raise BadFrame(f"{frame.kind.name} {frame.number} after {self._last}")
        if self._closing:
            return
        self._last = frame.number
        self._under_way += 1
        self._runtime.start(partial(self._answer, frame), name="answer handed commands")

    async def _answer(self, frame: LinkFrame) -> None:
        try:
            await self._send(await self._answers(frame))
        finally:
            self._under_way -= 1
            if self._fewer is not None:
                self._fewer.set()
                self._fewer = None

    async def _answers(self, frame: LinkFrame) -> list[bytes]:
        number = frame.number
        try:
            return list(answers(number, await self._serve(submissions_of(frame))))
        except (Overloaded, DependencyUnavailable, BadMessage) as error:
            return [failure(number, error)]
        except Exception as error:  # noqa: BLE001 - whatever it is, the other worker must hear of it
            _log.exception("commands that were handed over failed")
            return [failure(number, error)]

    async def _send(self, frames: list[bytes]) -> None:
        # A worker that is gone looks for its answer elsewhere.
        with suppress(OSError):
            async with self._sending:
                for each in frames:
                    await self._stream.send(each)

    async def _one_fewer(self) -> None:
        if self._fewer is None:
            self._fewer = self._runtime.event()
        await self._fewer.wait()


def _fits(holding: StreamBookHold) -> BookHold:
    """mypy holds the adapter to its port here."""
    return holding
