"""The journal and its checkpoints in this process's memory: complete, and gone with the process."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from operator import attrgetter

from domain.ledger.account import AccountState, account_key, is_system
from domain.ledger.chain import AppendResult, JournalDocument
from domain.ledger.crossings import Snapshot
from domain.ledger.entries import Recorded
from domain.ledger.replay import accounts_of
from domain.ledger.subjects import subject_of_account
from ports.ledger.journal import (
    ASSETS_COUNTED_MAX,
    AssetCensus,
    Checkpoints,
    Excerpt,
    Journal,
    Named,
    Placed,
    StoredState,
    Unreadable,
)
from ports.ledger.journal_log import JournalLog, Wanted


class MemoryJournal:
    """Keeps every document; a demo's memory is the bound."""

    def __init__(self) -> None:
        self._documents: dict[str, list[JournalDocument]] = defaultdict(list)
        self._keys: dict[tuple[str, str], Recorded] = {}
        self._subjects: dict[tuple[str, str], list[int]] = defaultdict(list)

    async def append(self, document: JournalDocument) -> AppendResult:
        documents = self._documents[document.book]
        if document.seq <= len(documents):
            return AppendResult.SEQ_TAKEN
        if document.seq != len(documents) + 1:
            raise ValueError(f"document {document.seq} would leave a gap after {len(documents)}")
        keys = [(document.book, key) for entry in document.entries for key in entry.keys]
        if any(key in self._keys for key in keys):
            return AppendResult.KEY_TAKEN
        documents.append(document)
        for entry in document.entries:
            recorded = Recorded(entry, document.seq, document.time_ms)
            self._keys.update(((document.book, key), recorded) for key in entry.keys)
        for subject in document.subjects():
            self._subjects[document.book, subject].append(document.seq)
        return AppendResult.APPENDED

    async def head(self, book: str) -> JournalDocument | None:
        documents = self._documents.get(book)
        return documents[-1] if documents else None

    async def last_seq(self, book: str) -> int:
        return len(self._documents.get(book, ()))

    async def at(self, book: str, seq: int) -> JournalDocument | None:
        documents = self._documents.get(book, [])
        return documents[seq - 1] if 0 < seq <= len(documents) else None

    async def after(self, book: str, seq: int, *, limit: int) -> Sequence[JournalDocument]:
        return self._documents.get(book, [])[seq : seq + limit]

    async def stored_after(
        self, book: str, seq: int, *, limit: int
    ) -> Sequence[JournalDocument | Unreadable]:
        return await self.after(book, seq, limit=limit)

    async def latest(self, book: str, wanted: Wanted, *, limit: int) -> Sequence[JournalDocument]:
        documents = self._documents.get(book, [])
        seqs: Iterable[int] = range(min(wanted.upto, len(documents)), wanted.above, -1)
        if wanted.subject is not None or wanted.key is not None:
            named = set(self._subjects.get((book, wanted.subject or ""), ()))
            if (recorded := self._keys.get((book, wanted.key or ""))) is not None:
                named.add(recorded.seq)
            seqs = sorted((seq for seq in named if wanted.above < seq <= wanted.upto), reverse=True)
        found = (documents[seq - 1] for seq in seqs)
        if wanted.actor is not None:
            found = (each for each in found if any(entry.actor == wanted.actor for entry in each.entries))
        return list(islice(found, limit))

    async def last_before(self, book: str, time_ms: int) -> int:
        return bisect_left(self._documents.get(book, []), time_ms, key=attrgetter("time_ms"))

    async def named(self, book: str, first: int, last: int, *, limit: int) -> Sequence[Named]:
        some = self._documents.get(book, [])[max(0, first - 1) : last][:limit]
        return [Named(document.seq, tuple(document.subjects())) for document in some]

    async def touching(
        self, book: str, subjects: Mapping[str, int], *, limit: int
    ) -> Sequence[JournalDocument]:
        found: set[int] = set()
        for subject, after in subjects.items():
            seqs = self._subjects.get((book, subject), [])
            found.update(seqs[bisect_right(seqs, after) :][:limit])
        documents = self._documents.get(book, [])
        return [documents[seq - 1] for seq in sorted(found)[:limit]]

    async def of_account(
        self,
        book: str,
        account_id: str,
        asset: str,
        *,
        above: int = 0,
        upto: int,
        newest_first: bool = False,
        documents_max: int,
    ) -> Excerpt:
        key = account_key(account_id, asset)
        seqs = self._subjects.get((book, subject_of_account(account_id, asset)), [])
        seqs = seqs[bisect_right(seqs, above) : bisect_right(seqs, upto)]
        some = (seqs[::-1] if newest_first else seqs)[:documents_max]
        placed = [
            Placed(entry, seq, place, document.time_ms)
            for seq in some
            for document in (self._documents[book][seq - 1],)
            for place, entry in enumerate(document.entries)
            if any(name == key for name, _ in accounts_of(entry))
        ]
        placed.sort(key=lambda each: (each.seq, each.place), reverse=newest_first)
        return Excerpt(tuple(placed), some[-1] if some else None)

    async def recorded(self, book: str, keys: Iterable[str]) -> Mapping[str, Recorded]:
        return {key: self._keys[book, key] for key in keys if (book, key) in self._keys}


class MemoryCheckpoints:
    def __init__(self) -> None:
        self._states: dict[tuple[str, str], AccountState] = {}
        self._kept: dict[tuple[str, str], dict[int, Snapshot]] = defaultdict(dict)

    async def load(self, book: str, account_keys: Sequence[str]) -> Mapping[str, AccountState]:
        return {key: self._states[book, key] for key in account_keys if (book, key) in self._states}

    async def save(self, book: str, states: Sequence[AccountState]) -> None:
        for state in states:
            stored = self._states.get((book, state.account.key))
            if stored is None or stored.seq < state.seq:
                self._states[book, state.account.key] = state

    async def due(self, now_ms: int, *, limit: int) -> Sequence[tuple[str, str]]:
        overdue = [
            (state.holdings.due_ms, book, key)
            for (book, key), state in self._states.items()
            if state.holdings.due_ms <= now_ms
        ]
        return [(book, key) for _, book, key in sorted(overdue)[:limit]]

    async def census(self, bounds: Sequence[int]) -> Sequence[AssetCensus]:
        by_asset: dict[str, list[AccountState]] = defaultdict(list)
        for state in self._states.values():
            if not is_system(state.account.id):
                by_asset[state.account.asset].append(state)
        counted = [
            AssetCensus(
                asset,
                tuple(sum(state.posted <= bound for state in states) for bound in bounds),
                len(states),
                sum(state.posted for state in states),
                sum(state.held for state in states),
            )
            for asset, states in by_asset.items()
        ]
        return sorted(counted, key=lambda each: (-each.accounts, each.asset))[:ASSETS_COUNTED_MAX]

    async def keep(self, book: str, snapshots: Sequence[Snapshot]) -> None:
        for snapshot in snapshots:
            self._kept[book, snapshot.state.account.key].setdefault(snapshot.state.seq, snapshot)

    async def kept(self, book: str, account_key: str, time_ms: int) -> Snapshot | None:
        kept = self._kept.get((book, account_key), {}).values()
        then = [snapshot for snapshot in kept if snapshot.time_ms <= time_ms]
        return max(then, key=lambda snapshot: snapshot.state.seq, default=None)

    async def states_after(self, book: str, account_key: str, *, limit: int) -> Sequence[StoredState]:
        some = sorted(key for owner, key in self._states if owner == book and key > account_key)[:limit]
        return [StoredState(key, self._states[book, key].seq, self._states[book, key]) for key in some]

    async def snapshots_after(
        self, book: str, account_key: str, seq: int, *, limit: int
    ) -> Sequence[StoredState]:
        some = sorted(
            (key, number)
            for (owner, key), kept in self._kept.items()
            if owner == book
            for number in kept
            if (key, number) > (account_key, seq)
        )[:limit]
        found = [(key, self._kept[book, key][number]) for key, number in some]
        return [StoredState(key, each.state.seq, each.state, each.time_ms) for key, each in found]


_fits: tuple[type[Journal], type[Checkpoints], type[JournalLog]] = (
    MemoryJournal,
    MemoryCheckpoints,
    MemoryJournal,
)
