"""An account's past: its entries, its state at a moment, and what its balance is made of."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from application.ledger.book import Book
from domain.ledger.account import AccountState
from domain.ledger.entries import Entry, TransferPosted
from domain.ledger.machine import effective
from domain.ledger.replay import account_after, accounts_of
from domain.ledger.subjects import BACKDATED
from ports.errors import DependencyUnavailable
from ports.ledger.journal import Checkpoints, Excerpt, Journal, Placed

DOCUMENTS_A_PAGE_MAX: Final = 64
DATED_BACK_SHOWN_MAX: Final = 200
PAGES_MAX: Final = 4_096
"""How many reads one answer may take; an account's past between two snapshots is far shorter."""


@dataclass(frozen=True, slots=True)
class EntryPosition:
    """Where an entry stands in its book: the document, and its index in there."""

    seq: int
    index: int


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """One transfer as its account sees it: `amount` signed, `balance` the posted one after it."""

    position: EntryPosition
    recorded_ms: int
    transfer: TransferPosted
    amount: int
    balance: int
    counterparty: str


@dataclass(frozen=True, slots=True)
class PastState:
    """An account at a moment. `adjusted` is what transfers recorded later, and dated back across it, add
    to `posted`: what could be spent then knew nothing of them. `dated_back` are the newest of these."""

    state: AccountState
    adjusted: int
    dated_back: tuple[AccountEntry, ...] = ()


class History:
    """Reads one book's journal for one account at a time."""

    def __init__(self, book: Book, journal: Journal, checkpoints: Checkpoints) -> None:
        self._book = book
        self._journal = journal
        self._checkpoints = checkpoints

    async def entries(
        self, state: AccountState, *, limit: int, before: EntryPosition | None
    ) -> tuple[list[AccountEntry], EntryPosition | None]:
        """An account's transfers, newest first, and where the next page begins if there is one."""
        upto = before.seq if before else state.seq
        found: list[AccountEntry] = []
        for _ in range(PAGES_MAX):
            excerpt = await self._excerpt(state, upto=upto, newest_first=True)
            for placed in excerpt.entries:
                if before is not None and (placed.seq, placed.place) >= (before.seq, before.index):
                    continue
                found.extend(seen_by(state.account.key, placed))
                if len(found) > limit:
                    return found[:limit], found[limit - 1].position
            if excerpt.upto is None or excerpt.upto <= 1:
                return found, None
            upto = excerpt.upto - 1
        raise DependencyUnavailable("ledger", "the account's past could not be read in bounded time")

    async def at(self, state: AccountState, time_ms: int, *, by_effect: bool) -> PastState | None:
        """The account at the end of the millisecond `time_ms`; None when it was not open yet, and nothing
        was dated back to before.

        Folds from the nearest snapshot before. What had fallen due by then counts, whether or not it
        was recorded. `by_effect` adds what was recorded later and dated back across the moment.
        """
        key = state.account.key
        snapshot = await self._checkpoints.kept(self._book.name, key, time_ms)
        past = None if snapshot is None else snapshot.state
        last = 0 if past is None else past.seq
        later = False
        for _ in range(PAGES_MAX):
            excerpt = await self._excerpt(state, above=last)
            for placed in excerpt.entries:
                if placed.time_ms > time_ms:
                    later = True
                    break
                past = _folded(past, key, placed)
            if later or excerpt.upto is None:
                break
            last = excerpt.upto
        if past is None:
            unopened = AccountState(state.account, 0, 0, 0)
            found = await self._with_dated_back(unopened, time_ms) if by_effect else None
            return found if found is not None and found.dated_back else None
        past = effective(past, time_ms).state
        return await self._with_dated_back(past, time_ms) if by_effect else PastState(past, 0)

    async def _with_dated_back(self, state: AccountState, time_ms: int) -> PastState:
        """With what was recorded after the moment and counts from before its end."""
        key, seq, adjusted = state.account.key, state.seq, 0
        newest: deque[AccountEntry] = deque(maxlen=DATED_BACK_SHOWN_MAX)
        subject = BACKDATED + key
        while True:
            documents = await self._journal.touching(
                self._book.name, {subject: seq}, limit=DOCUMENTS_A_PAGE_MAX
            )
            for document in documents:
                seq = document.seq
                if document.time_ms > time_ms:
                    for place, entry in enumerate(document.entries):
                        if _counts_before(entry, time_ms):
                            seen = seen_by(key, Placed(entry, seq, place, document.time_ms))
                            adjusted += sum(each.amount for each in seen)
                            newest.extend(seen)
            if len(documents) < DOCUMENTS_A_PAGE_MAX:
                return PastState(state, adjusted, tuple(reversed(newest)))

    async def _excerpt(
        self, state: AccountState, *, above: int = 0, upto: int | None = None, newest_first: bool = False
    ) -> Excerpt:
        return await self._journal.of_account(
            self._book.name,
            state.account.id,
            state.account.asset,
            above=above,
            upto=state.seq if upto is None else upto,
            newest_first=newest_first,
            documents_max=DOCUMENTS_A_PAGE_MAX,
        )


def _folded(state: AccountState | None, key: str, placed: Placed) -> AccountState | None:
    for name, is_source in accounts_of(placed.entry):
        if name == key:
            state = account_after(
                key, state, placed.entry, is_source, placed.seq, placed.place, placed.time_ms
            )
    return state


def _counts_before(entry: Entry, time_ms: int) -> bool:
    if not isinstance(entry, TransferPosted) or not entry.is_backdated:
        return False
    return entry.effective_ms is not None and entry.effective_ms <= time_ms


def seen_by(key: str, placed: Placed) -> list[AccountEntry]:
    """The entry as one account of it sees it; none for one that moved nothing."""
    entry = placed.entry
    if not isinstance(entry, TransferPosted):
        return []
    position = EntryPosition(placed.seq, placed.place)
    return [
        AccountEntry(position, placed.time_ms, entry, -entry.amount, entry.source_posted, entry.destination)
        if is_source
        else AccountEntry(
            position, placed.time_ms, entry, entry.amount, entry.destination_posted, entry.source
        )
        for name, is_source in accounts_of(entry)
        if name == key
    ]
