"""The journal: the ledger's truth, an append-only log of documents for each book."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from domain.ledger.account import AccountState
from domain.ledger.chain import AppendResult, JournalDocument
from domain.ledger.crossings import Snapshot
from domain.ledger.entries import Entry, Recorded
from ports.errors import DependencyUnavailable

ASSETS_COUNTED_MAX: Final = 64


class Placed(NamedTuple):
    """An entry and its place: the index in document `seq`, which was decided at `time_ms`."""

    entry: Entry
    seq: int
    place: int
    time_ms: int


class Named(NamedTuple):
    """A document's number, and the subjects that it touches."""

    seq: int
    subjects: tuple[str, ...]


class Excerpt(NamedTuple):
    """Entries of some documents. `upto` is the `seq` of the last document that was looked at, None when
    there was no other one."""

    entries: tuple[Placed, ...]
    upto: int | None


class Unreadable(NamedTuple):
    """Something stored that no writer of ours has stored so. `seq` is 0 where not even that can be read."""

    seq: int
    detail: str


class UnreadableBook(DependencyUnavailable):
    """Something of a book that this release cannot read: a newer one wrote it, or it was damaged.

    Deciding without it could spend what is not there, so nothing is decided in the book for as long as it
    stands. It is document `seq`, or, where that is 0, the checkpoint of the account `key`.
    """

    def __init__(self, book: str, detail: str, *, seq: int = 0, key: str = "") -> None:
        what = f"document {seq}" if seq else f"the checkpoint of account {key}"
        super().__init__("ledger", f"{what} of the book {book} cannot be read by this release: {detail}")
        self.book = book
        self.seq = seq
        self.key = key


class StoredState(NamedTuple):
    """A checkpoint or a snapshot of an account, as it stands in the store.

    `state` is None when it is not as a writer of ours stores it; `time_ms` belongs to a snapshot.
    """

    key: str
    seq: int
    state: AccountState | None
    time_ms: int | None = None


class AssetCensus(NamedTuple):
    """All accounts of one asset but the system's: how many have at most each of the bounds that were
    asked for, how many there are, and what is posted and held in them together, in minor units."""

    asset: str
    within: tuple[int, ...]
    accounts: int
    posted: int
    held: int


class Journal(Protocol):
    """Reads see what a majority holds, and nothing that could be rolled back.

    Every call raises `DependencyUnavailable` when the store does not answer in bounded time;
    `append` gives `UNKNOWN` instead. What reads entries raises `UnreadableBook` for a document that this
    release does not understand.
    """

    async def append(self, document: JournalDocument) -> AppendResult:
        """Inserts one document, acknowledged by a majority's journals; `(book, seq)` is unique."""

    async def head(self, book: str) -> JournalDocument | None:
        """The newest document, None when the book is empty."""

    async def last_seq(self, book: str) -> int:
        """The number of the newest document, 0 when the book is empty; reads nothing else of it."""

    async def at(self, book: str, seq: int) -> JournalDocument | None: ...

    async def after(self, book: str, seq: int, *, limit: int) -> Sequence[JournalDocument]:
        """Documents with a higher `seq`, ascending, at most `limit`."""

    async def stored_after(
        self, book: str, seq: int, *, limit: int
    ) -> Sequence[JournalDocument | Unreadable]:
        """As `after`, for proving what is stored: what is not exactly as `append` stores it comes too,
        as `Unreadable`, and so does a second document of one number."""

    async def touching(
        self, book: str, subjects: Mapping[str, int], *, limit: int
    ) -> Sequence[JournalDocument]:
        """Documents that name a subject at a higher `seq` than the one given for it, ascending."""

    async def named(self, book: str, first: int, last: int, *, limit: int) -> Sequence[Named]:
        """What documents from `first` to `last` touch, ascending, of at most `limit` of them."""

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
        """The entries that touch one account, in documents with `above < seq <= upto`, of at most
        `documents_max` of them."""

    async def recorded(self, book: str, keys: Iterable[str]) -> Mapping[str, Recorded]:
        """What the journal has under these keys; keys that it has not are left out."""


class Checkpoints(Protocol):
    """Account states as they once were, each true at its own `seq`. Only a shortcut: all of it can
    be made again from the journal.
    """

    async def load(self, book: str, account_keys: Sequence[str]) -> Mapping[str, AccountState]:
        """Those that are stored. Raises `UnreadableBook` for one that this release does not understand."""

    async def save(self, book: str, states: Sequence[AccountState]) -> None:
        """Stores each state that is newer than what is stored; order does not matter."""

    async def due(self, now_ms: int, *, limit: int) -> Sequence[tuple[str, str]]:
        """Book and key of accounts in which something has fallen due, longest overdue first."""

    async def census(self, bounds: Sequence[int]) -> Sequence[AssetCensus]:
        """What `save` has stored of all books, for the `ASSETS_COUNTED_MAX` assets that most accounts
        have."""

    async def keep(self, book: str, snapshots: Sequence[Snapshot]) -> None:
        """Stores states for good. One that is there already stays as it is."""

    async def kept(self, book: str, account_key: str, time_ms: int) -> Snapshot | None:
        """The newest state kept of an account that was recorded at `time_ms` or before."""

    async def states_after(self, book: str, account_key: str, *, limit: int) -> Sequence[StoredState]:
        """What `save` has stored of accounts whose key is higher, ascending, at most `limit`."""

    async def snapshots_after(
        self, book: str, account_key: str, seq: int, *, limit: int
    ) -> Sequence[StoredState]:
        """What `keep` has stored, by account and number, above the pair that is given, at most `limit`."""
