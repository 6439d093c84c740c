"""The books of this process: opened when first asked for, the idle ones closed."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Final

from application.ledger.book import Book
from application.ledger.book_ports import BookPorts
from application.ledger.checkpointer import FLUSH_S_MAX
from application.ledger.committed import Committed
from ports.ledger.journal import UnreadableBook
from ports.runtime import Task

BOOKS_MAX: Final = 1_024
"""Books that one process keeps open; those not used for longest are closed."""
UNREADABLE_MAX: Final = 16
"""Books that could not be opened and that readiness goes on asking for."""


class Books:
    def __init__(self, ports: BookPorts, *, accounts_max: int, committed: Committed) -> None:
        self._ports = ports
        self._accounts_max = accounts_max
        self._committed = committed
        self._open: OrderedDict[str, Book] = OrderedDict()
        self._opening: dict[str, Task[Book]] = {}
        self._unreadable: OrderedDict[str, None] = OrderedDict()
        """Names of books that could not even be opened, for they cannot be read."""

    async def get(self, name: str) -> Book:
        book = self._open.get(name)
        if book is not None:
            self._open.move_to_end(name)
            return book
        opening = self._opening.get(name)
        if opening is None:
            # One for all who ask meanwhile: they share its failure too, instead of each trying in turn.
            opening = self._opening[name] = self._ports.runtime.start(
                partial(self._open_one, name), name="open a book"
            )
        return await opening.wait()

    @property
    def opened(self) -> tuple[Book, ...]:
        return tuple(self._open.values())

    async def check(self) -> None:
        """Raises `UnreadableBook` while a book that was asked for cannot be read here."""
        for book in self.opened:
            await book.check()
        for name in tuple(self._unreadable):
            await self.get(name)

    async def let_go(self) -> None:
        """Other workers of this host may hold the books from now on."""
        for book in self.opened:
            await book.let_go()

    async def stop(self) -> None:
        """Writes the checkpoints that wait, of all books together no longer than of one."""
        give_up_s = self._ports.runtime.monotonic() + FLUSH_S_MAX
        for book in self.opened:
            await book.stop(give_up_s=give_up_s)

    async def _open_one(self, name: str) -> Book:
        try:
            book = Book(name, self._ports, accounts_max=self._accounts_max, committed=self._committed)
            try:
                await book.start()
            except UnreadableBook:
                self._unreadable[name] = None
                while len(self._unreadable) > UNREADABLE_MAX:
                    self._unreadable.popitem(last=False)
                raise
            self._unreadable.pop(name, None)
            self._open[name] = book
            await self._close_idle()
            return book
        finally:
            del self._opening[name]

    async def _close_idle(self) -> None:
        """Closes those not used for longest. A caller that still has one may go on with it: the journal
        fences two writers of one book, whatever process they are in.
        """
        while len(self._open) > BOOKS_MAX:
            _, book = self._open.popitem(last=False)
            await book.stop()
