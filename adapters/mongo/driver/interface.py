"""The interface between the repositories and the MongoDB client that this runtime can use.

Repositories stand on these Protocols and never import `pymongo`'s clients, so that there is one copy
of each for asyncio (PyMongo or Motor) and for trio (PyMongo's synchronous client in threads).

Every call is bounded in time and raises `DependencyUnavailable` when the server cannot be reached or
does not answer. A write that was neither acknowledged nor refused raises `OutcomeUnknown`; one that a
unique index refused raises `adapters.mongo.driver.errors.DuplicateKey`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, TypeVar

DEPENDENCY = "mongo"

Result = TypeVar("Result")

Document = Mapping[str, Any]
"""As it is read and written. A `RawBSONDocument` is one too, and is not encoded again."""

Filter = Mapping[str, Any]
Sort = Sequence[tuple[str, int]]
Change = Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""Update operators, or an aggregation pipeline."""


class Concern(Enum):
    """What a read may see and when a write counts as done."""

    MAJORITY = "majority"
    """Reads on the primary what a majority has; writes wait for a majority's journals. The default."""
    LOCAL = "local"
    """Reads what the primary has, rolled back or not; writes wait for the primary only."""


@dataclass(frozen=True, slots=True)
class Updated:
    """What an update, or a bulk of them, did."""

    matched: int
    modified: int
    upserted: int


@dataclass(frozen=True, slots=True)
class UpdateOne:
    """One update of a bulk: of the first document that the filter matches."""

    query: Filter
    change: Change
    upsert: bool = False


@dataclass(frozen=True, slots=True)
class Index:
    """An index as data. `keys` are (field, 1 | -1) pairs in order."""

    name: str
    keys: tuple[tuple[str, int], ...]
    unique: bool = False
    partial: Mapping[str, Any] | None = None
    """Only documents that this filter matches stand in it."""
    expire_after_seconds: int | None = None
    """The server deletes documents so long after the date in the one key field."""
    vital: bool = False
    """Without it writes would be wrong: a process does not start."""


class MongoCollection(Protocol):
    """One collection under one concern. Inside a transaction, the transaction's concern holds."""

    async def find_one(
        self, query: Filter, *, sort: Sort = (), projection: Mapping[str, Any] | None = None
    ) -> Document | None: ...

    async def find(
        self,
        query: Filter,
        *,
        sort: Sort = (),
        limit: int = 0,
        projection: Mapping[str, Any] | None = None,
        hint: str | None = None,
    ) -> list[Document]:
        """All that match, at most `limit` of them; 0 is no limit, for bounded collections only."""

    async def insert_one(self, document: Document) -> None: ...

    async def insert_many(self, documents: Sequence[Document], *, ordered: bool = True) -> None:
        """Not atomic outside a transaction: an error may leave some of them inserted."""

    async def update_one(self, query: Filter, change: Change, *, upsert: bool = False) -> Updated: ...

    async def update_many(self, query: Filter, change: Change) -> Updated: ...

    async def find_one_and_update(
        self,
        query: Filter,
        change: Change,
        *,
        upsert: bool = False,
        return_after: bool = True,
        sort: Sort = (),
        projection: Mapping[str, Any] | None = None,
    ) -> Document | None:
        """The document after (or before) the change; None when none matched."""

    async def delete_one(self, query: Filter) -> int: ...

    async def delete_many(self, query: Filter) -> int: ...

    async def bulk_write(self, updates: Sequence[UpdateOne], *, ordered: bool = False) -> Updated:
        """Many updates in one message. Unordered, one that fails does not stop the others."""

    async def count(self, query: Filter, *, limit: int = 0) -> int: ...

    async def aggregate(self, pipeline: Sequence[Mapping[str, Any]]) -> list[Document]: ...

    async def create_indexes(self, indexes: Sequence[Index]) -> None:
        """Idempotent: an index that stands with the same definition is left alone."""


class MongoTransaction(Protocol):
    """Writes through it become visible together, or not at all. One call at a time."""

    def collection(self, name: str, *, raw: bool = False) -> MongoCollection: ...

    def tell_of(self, fact: object) -> None:
        """Hands this to the driver's `on_commit` listeners once it is committed."""


class MongoDriver(Protocol):
    """One pool of connections under one user."""

    @property
    def database(self) -> str:
        """The database that unqualified names mean."""

    def collection(
        self, name: str, *, concern: Concern = Concern.MAJORITY, raw: bool = False
    ) -> MongoCollection:
        """`raw` reads documents as `RawBSONDocument`, undecoded until a field is asked for."""

    def standing_name(self, name: str) -> str:
        """The name that a collection stands under, for commands: an earlier one until it is renamed."""

    async def command(
        self,
        command: Mapping[str, Any],
        *,
        database: str | None = None,
        timeout_ms_max: int | None = None,
    ) -> Document: ...

    async def transaction(self, body: Callable[[MongoTransaction], Awaitable[Result]]) -> Result:
        """Runs the body and commits; aborts when it raises.

        The body may run several times (transient conflicts), so it must have no effect of its own.
        A refused write ends the transaction on the server: let `DuplicateKey` leave the body.
        Snapshot reads, majority and journal writes. Bounded by `transaction_timeout_ms_max` in all.
        """

    def on_commit(self, listener: Callable[[object], None]) -> None:
        """Calls back with each fact that a committed transaction tells of; must not fail."""

    async def close(self) -> None:
        """Ends every connection; calls from now on raise `DependencyUnavailable`."""
