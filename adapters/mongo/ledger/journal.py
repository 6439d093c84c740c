"""The journal in MongoDB: one document a batch, fenced by a unique index.

No multi-document transaction: one insert, acknowledged by a majority's journals, is the commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from adapters.mongo.driver.errors import DuplicateKey
from adapters.mongo.driver.interface import Document, Index, MongoCollection, MongoDriver
from adapters.mongo.indexes import Indexes
from adapters.mongo.validators import INTEGER, LIST, TEXT, Validators, documents_of
from domain.ledger.account import is_system
from domain.ledger.chain import FORMAT_MAX, AppendResult, JournalDocument
from domain.ledger.entries import Entry, Recorded
from domain.ledger.records import entry_of, record_of
from domain.ledger.subjects import subject_of_account
from ports.errors import DependencyUnavailable
from ports.ledger.journal import Excerpt, Journal, Named, Placed, Unreadable, UnreadableBook
from ports.ledger.journal_log import JournalLog, Wanted

COLLECTION: Final = "journal"
KEYS_A_READ_MAX: Final = 1_000

_PLACE: Final = {"seq": 1, "time": 1}

FENCE: Final = "book_seq"
SUBJECTS: Final = "book_subjects_seq"

INDEXES: Final[Indexes] = {
    COLLECTION: (
        Index(FENCE, (("book", 1), ("seq", 1)), unique=True, vital=True),
        # Unique across documents; within one the state machine sees to it.
        Index("book_entry_keys", (("book", 1), ("entries.keys", 1)), unique=True, vital=True),
        Index(SUBJECTS, (("book", 1), ("subjects", 1), ("seq", 1))),
    )
}

VALIDATORS: Final[Validators] = {
    # Not each entry: the digest holds them, and thousands a document would be gone through at each append.
    COLLECTION: documents_of(
        {
            "_id": TEXT,
            "book": TEXT,
            "seq": INTEGER,
            "time": INTEGER,
            "previous": TEXT,
            "digest": TEXT,
            "subjects": LIST,
            "entries": LIST,
        },
        {"format": INTEGER},
    )
}


class MongoJournal:
    """Documents are `{_id: nonce, book, seq, time, previous, digest, subjects, entries}`, and `format` from
    format 2 on."""

    def __init__(self, driver: MongoDriver) -> None:
        self._documents: MongoCollection = driver.collection(COLLECTION)

    async def append(self, document: JournalDocument) -> AppendResult:
        try:
            await self._documents.insert_one(_stored(document))
        except DuplicateKey as duplicate:
            # The error names one index. `_id` is the nonce: this very document came through before.
            return (
                AppendResult.KEY_TAKEN if "entries.keys" in duplicate.key_pattern else AppendResult.SEQ_TAKEN
            )
        except DependencyUnavailable:
            return AppendResult.UNKNOWN
        return AppendResult.APPENDED

    async def head(self, book: str) -> JournalDocument | None:
        found = await self._documents.find_one({"book": book}, sort=(("seq", -1),))
        return None if found is None else _document(found)

    async def last_seq(self, book: str) -> int:
        # The index alone answers it.
        found = await self._documents.find_one(
            {"book": book}, sort=(("seq", -1),), projection={"_id": 0, "seq": 1}
        )
        return 0 if found is None else int(found["seq"])

    async def at(self, book: str, seq: int) -> JournalDocument | None:
        found = await self._documents.find_one({"book": book, "seq": seq})
        return None if found is None else _document(found)

    async def after(self, book: str, seq: int, *, limit: int) -> Sequence[JournalDocument]:
        found = await self._documents.find(
            {"book": book, "seq": {"$gt": seq}}, sort=(("seq", 1),), limit=limit
        )
        return [_document(document) for document in found]

    async def stored_after(
        self, book: str, seq: int, *, limit: int
    ) -> Sequence[JournalDocument | Unreadable]:
        if seq == 0:
            # A comparison with a number finds numbers only, and these from 1 on.
            strange = await self._documents.find_one({"book": book, "seq": {"$not": {"$gte": 1}}})
            if strange is not None:
                return [Unreadable(0, f"the document {strange['_id']!r} has no number")]
        # With the one at `seq`: were there two of that number, the second one is yet to be seen.
        found = await self._documents.find(
            {"book": book, "seq": {"$gte": seq}}, sort=(("seq", 1),), limit=limit + 1
        )
        if found and found[0].get("seq") == seq:
            found = found[1:]
        return [_strictly(stored) for stored in found[:limit]]

    async def latest(self, book: str, wanted: Wanted, *, limit: int) -> Sequence[JournalDocument]:
        placed: dict[str, Any] = {"book": book, "seq": {"$gt": wanted.above, "$lte": wanted.upto}}
        if wanted.actor is not None:
            placed["entries.actor"] = wanted.actor
        branches = []
        if wanted.subject is not None:
            branches.append({**placed, "subjects": wanted.subject})
        if wanted.key is not None:
            branches.append({**placed, "entries.keys": wanted.key})
        found = await self._documents.find(
            {"$or": branches} if branches else placed,
            sort=(("seq", -1),),
            limit=limit,
            hint=None if branches else FENCE,
        )
        return [_document(document) for document in found]

    async def last_before(self, book: str, time_ms: int) -> int:
        """By halves: some 25 point reads for ten million documents, and no index that appends pay for."""
        newest = await self._documents.find_one({"book": book}, sort=(("seq", -1),), projection=_PLACE)
        if newest is None or newest["time"] < time_ms:
            return 0 if newest is None else int(newest["seq"])
        low, high = 0, int(newest["seq"])
        while high - low > 1:
            middle = (low + high) // 2
            found = await self._documents.find_one({"book": book, "seq": middle}, projection=_PLACE)
            if found is not None and found["time"] < time_ms:
                low = middle
            else:
                high = middle
        return low

    async def named(self, book: str, first: int, last: int, *, limit: int) -> Sequence[Named]:
        found = await self._documents.find(
            {"book": book, "seq": {"$gte": first, "$lte": last}},
            sort=(("seq", 1),),
            limit=limit,
            projection={"_id": 0, "seq": 1, "subjects": 1},
            hint=FENCE,
        )
        return [Named(document["seq"], tuple(document["subjects"])) for document in found]

    async def touching(
        self, book: str, subjects: Mapping[str, int], *, limit: int
    ) -> Sequence[JournalDocument]:
        branches = [
            {"book": book, "subjects": subject, "seq": {"$gt": after}} for subject, after in subjects.items()
        ]
        # Without the hint each branch is planned over two indexes: 70 ms for 128 subjects instead of 5.
        found = await self._documents.find({"$or": branches}, sort=(("seq", 1),), limit=limit, hint=SUBJECTS)
        return [_document(document) for document in found]

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
        subject = subject_of_account(account_id, asset)
        found = await self._documents.aggregate(
            [
                {"$match": {"book": book, "subjects": subject, "seq": {"$gt": above, "$lte": upto}}},
                {"$sort": {"seq": -1 if newest_first else 1}},
                {"$limit": documents_max},
                {
                    "$project": {
                        "seq": 1,
                        "time": 1,
                        "format": 1,
                        "entries": _touching_account(account_id, asset),
                    }
                },
            ]
        )
        placed: list[Placed] = []
        for document in found:
            seq, time_ms = document["seq"], document["time"]
            some = [
                Placed(_entry(book, document, each["entry"]), seq, each["place"], time_ms)
                for each in document["entries"]
            ]
            placed += reversed(some) if newest_first else some
        return Excerpt(tuple(placed), found[-1]["seq"] if found else None)

    async def recorded(self, book: str, keys: Iterable[str]) -> Mapping[str, Recorded]:
        recorded: dict[str, Recorded] = {}
        for some in _chunks(list(dict.fromkeys(keys)), KEYS_A_READ_MAX):
            wanted = set(some)
            for found in await self._documents.aggregate(_entries_with(book, some)):
                record = found["entries"]
                at = Recorded(_entry(book, found, record), found["seq"], found["time"])
                recorded.update((key, at) for key in record["keys"] if key in wanted)
        return recorded


def _entries_with(book: str, keys: Sequence[str]) -> list[dict[str, Any]]:
    """A document may hold thousands of entries: only the wanted ones cross the wire.

    `$match` looks the keys up in a set, where `$filter` with `$setIntersection` would go through all
    of them for each entry.
    """
    named: dict[str, Any] = {"entries.keys": {"$in": list(keys)}}
    return [
        {"$match": {"book": book, **named}},
        {"$project": {"seq": 1, "time": 1, "format": 1, "entries": 1}},
        {"$unwind": "$entries"},
        {"$match": named},
    ]


def _touching_account(account_id: str, asset: str) -> dict[str, Any]:
    """An expression for the entries that touch one account, each with its index among all of them."""
    entry: Final = "$$pair.entry"
    is_named: dict[str, Any] = {
        # `$literal`: an id is text, never a field path.
        "$or": [
            {"$eq": [f"{entry}.{side}", {"$literal": account_id}]}
            for side in ("source", "destination", "account")
        ]
        + [
            {
                "$and": [
                    {"$eq": [f"{entry}.kind", "account"]},
                    {"$eq": [f"{entry}.id", {"$literal": account_id}]},
                ]
            }
        ]
    }
    if is_system(account_id):
        is_named = {"$and": [is_named, {"$eq": [f"{entry}.asset", {"$literal": asset}]}]}
    numbered = {
        "$map": {
            "input": {"$range": [0, {"$size": "$entries"}]},
            "as": "place",
            "in": {"place": "$$place", "entry": {"$arrayElemAt": ["$entries", "$$place"]}},
        }
    }
    return {"$filter": {"input": numbered, "as": "pair", "cond": is_named}}


def _chunks(keys: list[str], size: int) -> Iterable[list[str]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))


def _entry(book: str, stored: Document, record: dict[str, Any]) -> Entry:
    """One entry of a stored document. Raises `UnreadableBook`."""
    try:
        _format(stored)
        return entry_of(record)
    except ValueError as error:
        raise UnreadableBook(book, str(error), seq=stored["seq"]) from error


def _format(stored: Document) -> int:
    number = stored.get("format", 1)
    if type(number) is not int or not 1 <= number <= FORMAT_MAX:
        raise ValueError(f"it has format {number}, and formats up to {FORMAT_MAX} are known")
    return number


def _stored(document: JournalDocument) -> Document:
    stored = {
        "_id": document.nonce,
        "book": document.book,
        "seq": document.seq,
        "time": document.time_ms,
        "previous": document.previous,
        "digest": document.digest,
        "subjects": document.subjects(),
        "entries": [record_of(entry) for entry in document.entries],
    }
    if document.format != 1:
        stored["format"] = document.format
    return stored


def _document(stored: Document) -> JournalDocument:
    """Raises `UnreadableBook`."""
    try:
        return _read(stored)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        detail = str(error) if isinstance(error, ValueError) else repr(error)
        raise UnreadableBook(stored["book"], detail, seq=stored["seq"]) from error


def _read(stored: Document) -> JournalDocument:
    return JournalDocument(
        book=stored["book"],
        seq=stored["seq"],
        time_ms=stored["time"],
        nonce=stored["_id"],
        previous=stored["previous"],
        digest=stored["digest"],
        entries=tuple(entry_of(record) for record in stored["entries"]),
        format=_format(stored),
    )


def _strictly(stored: Document) -> JournalDocument | Unreadable:
    """The document, if storing it would give the very same again: no field more, none other."""
    seq = stored.get("seq")
    number = seq if isinstance(seq, int) and not isinstance(seq, bool) else 0
    try:
        document = _read(stored)
        if _stored(document) == stored:
            return document
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Unreadable(number, f"it cannot be read: {error!r}")
    return Unreadable(number, "it is not as it was written: its fields differ from what they say together")


def _fits(driver: MongoDriver) -> tuple[Journal, JournalLog]:
    return MongoJournal(driver), MongoJournal(driver)
