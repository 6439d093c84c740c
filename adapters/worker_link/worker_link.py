"""Who of a host's workers holds which book."""

from __future__ import annotations

import hashlib
from typing import Final

from adapters.worker_link.holder import StreamBookHold
from adapters.worker_link.host import Host
from adapters.worker_link.link import StreamLink
from ports.ledger.worker_link import LinkUnusable, Serve, WorkerLink
from ports.runtime import Runtime

BOOKS_MAX: Final = 128
"""Books that one worker holds, or hands commands over for, at a time: each needs descriptors of its own."""


class StreamWorkerLink:
    """On streams between the workers; which kind of them, the host knows."""

    def __init__(self, runtime: Runtime, host: Host) -> None:
        self._runtime = runtime
        self._host = host
        self._books = 0

    async def hold(self, book: str, serve: Serve) -> StreamBookHold | None:
        self._admit()
        name = _name(book)
        try:
            lock = self._host.lock(name)
            if lock is None:
                return None
            try:
                listener = self._host.listen(name)
            except OSError:
                lock.release()
                raise
        except OSError as error:
            raise LinkUnusable(str(error)) from error
        self._books += 1
        return StreamBookHold(self._runtime, lock, listener, serve, on_end=self._forget)

    async def reach(self, book: str) -> StreamLink | None:
        self._admit()
        try:
            stream = self._host.connect(_name(book))
        except OSError as error:
            raise LinkUnusable(str(error)) from error
        if stream is None:
            return None
        self._books += 1
        link = StreamLink(self._runtime, stream, on_end=self._forget)
        await link.greet()
        return link

    def _forget(self) -> None:
        self._books -= 1

    def _admit(self) -> None:
        if self._books >= BOOKS_MAX:
            raise LinkUnusable(f"{BOOKS_MAX} books are shared already")


def _name(book: str) -> str:
    """A file name: short, and without what a book's name may hold."""
    return hashlib.sha256(book.encode()).hexdigest()[:32]


def _fits(worker_link: StreamWorkerLink) -> WorkerLink:
    """mypy holds the adapter to its port here."""
    return worker_link
