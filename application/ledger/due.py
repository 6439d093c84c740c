"""Records what falls due in accounts that are not looked at: grants begin, holds and grants expire.

Every read and decision counts it from its very instant all the same; this only keeps the journal, and
what is summed up from it, from falling behind.
"""

from __future__ import annotations

import logging
from typing import Final

from application.ledger.book import Book
from application.ledger.books import Books
from application.recurring import Recurring
from domain.ledger.commands import SettleDue, Submission
from ports.clock import Clock
from ports.errors import DependencyUnavailable
from ports.ledger.journal import Checkpoints
from ports.runtime import Overloaded, Runtime

INTERVAL_S: Final = 1.0
ACCOUNTS_A_ROUND_MAX: Final = 256
OTHERS_GRACE_MS: Final = 5_000
"""How long what others wrote may be overdue before this process records it for them."""
ROUNDS_AT_ONCE_MAX: Final = 16
"""Full rounds that follow each other without a pause."""

_log = logging.getLogger(__name__)


class DueTicker:
    """One task that looks once a second into the index of what falls due when."""

    def __init__(self, runtime: Runtime, clock: Clock, checkpoints: Checkpoints, books: Books) -> None:
        self._clock = clock
        self._checkpoints = checkpoints
        self._books = books
        self._ticking = Recurring(runtime, self._tick, name="what falls due in the ledger")

    def start(self) -> None:
        self._ticking.start()

    async def stop(self) -> None:
        await self._ticking.stop()

    async def _tick(self) -> float:
        try:
            for _ in range(ROUNDS_AT_ONCE_MAX):
                if await self.book_due() < ACCOUNTS_A_ROUND_MAX:
                    break
        except (DependencyUnavailable, Overloaded):
            # Nothing is lost: it is counted all the same, and recorded by a later round.
            _log.debug("what falls due was not recorded")
        except Exception:  # noqa: BLE001 - a fault of one round must not end all that follow
            _log.exception("what falls due was not recorded")
        return INTERVAL_S

    async def book_due(self) -> int:
        """One round; how many accounts it found."""
        now_ms = self._clock.now_ms()
        found = await self._checkpoints.due(now_ms, limit=ACCOUNTS_A_ROUND_MAX)
        by_book: dict[str, list[str]] = {}
        for book_name, key in found:
            by_book.setdefault(book_name, []).append(key)
        for book_name, keys in by_book.items():
            await self._book(await self._books.get(book_name), keys)
        for book in self._books.opened:
            keys = book.overdue(now_ms - OTHERS_GRACE_MS)
            try:
                for start in range(0, len(keys), ACCOUNTS_A_ROUND_MAX):
                    await self._book(book, keys[start : start + ACCOUNTS_A_ROUND_MAX])
            except Exception:
                book.still_overdue(keys)
                raise
        return len(found)

    async def _book(self, book: Book, keys: list[str]) -> None:
        await book.submit([Submission((SettleDue(key),)) for key in keys])
        # A checkpoint that is behind would be found again and again.
        await book.checkpoint(keys)
