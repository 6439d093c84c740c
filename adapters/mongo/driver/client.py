"""The one implementation of `MongoDriver`."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from bson.codec_options import CodecOptions, TypeDecoder, TypeRegistry
from bson.int64 import Int64
from bson.raw_bson import RawBSONDocument
from pymongo import ReadPreference, WriteConcern
from pymongo.read_concern import ReadConcern

from adapters.mongo.driver.collection import BoundCollection, RenamedCollection
from adapters.mongo.driver.errors import Effect, is_transient, translated
from adapters.mongo.driver.execution import Execution
from adapters.mongo.driver.heartbeats import Heartbeats
from adapters.mongo.driver.interface import DEPENDENCY, Concern, Document, MongoTransaction
from adapters.mongo.driver.names import RENAMED, CollectionNames
from adapters.mongo.driver.transaction import MAJORITY_WRITE, TransactionAttempt
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime

Result = TypeVar("Result")

DEFAULT_DATABASE = "credit_system"
TRANSACTION_ATTEMPTS_MAX = 64
"""Beside the bound on time: on a busy machine a writer among several may lose many times in a row."""
BACKOFF_MS_MAX = 100
RENAMING_TRIES_MAX = 30
RENAMING_PAUSE_S = 0.1
"""A collection that is being renamed is waited for so often: the script takes less than a second."""

_RAW = CodecOptions(document_class=RawBSONDocument)


class _PlainIntegers(TypeDecoder):
    """From 2**31 on PyMongo reads integers as a type of its own, which no encoder of answers knows."""

    bson_type = Int64

    def transform_bson(self, value: Any) -> int:
        return int(value)


_PLAIN: CodecOptions[dict[str, Any]] = CodecOptions(type_registry=TypeRegistry([_PlainIntegers()]))


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long things may take and how many connections one pool may hold."""

    operation_timeout_ms_max: int = 5_000
    transaction_timeout_ms_max: int = 10_000
    server_selection_timeout_ms_max: int = 3_000
    connect_timeout_ms_max: int = 2_000
    connections_max: int = 32


class ClientDriver:
    """`MongoDriver` over a client of PyMongo's or Motor's."""

    def __init__(
        self, *, client: Any, execution: Execution, heartbeats: Heartbeats, runtime: Runtime, bounds: Bounds
    ) -> None:
        self._client = client
        self._execution = execution
        self._heartbeats = heartbeats
        self._runtime = runtime
        self._bounds = bounds
        self._database = client.get_default_database(DEFAULT_DATABASE)
        self._closed = False
        self._listeners: list[Callable[[object], None]] = []
        self._names = CollectionNames()

    @property
    def database(self) -> str:
        return str(self._database.name)

    def collection(
        self, name: str, *, concern: Concern = Concern.MAJORITY, raw: bool = False
    ) -> BoundCollection:
        if name in RENAMED:
            return RenamedCollection(
                handle=lambda: self._handle(name, concern, raw),
                follow=self._following,
                execution=self._execution,
                heartbeats=self._heartbeats,
                seconds_left=self._operation_seconds,
            )
        return BoundCollection(
            collection=self._handle(name, concern, raw),
            execution=self._execution,
            heartbeats=self._heartbeats,
            seconds_left=self._operation_seconds,
        )

    def standing_name(self, name: str) -> str:
        return self._names.standing(name)

    async def learn_names(self, *, asking: ClientDriver | None = None) -> Sequence[str]:
        """Which of the renamed collections stand under their earlier names: these names.

        `asking` is a driver whose user sees all collections, whatever this one's may use.
        """
        self._names.learn(await (asking or self).renamed_collections())
        return self._names.earlier

    async def renamed_collections(self) -> list[str]:
        """Of today's names and the earlier ones, those under which this user sees a collection."""
        # Without the right to list all of them, the server lists those that this user may use.
        named = {"$in": [*RENAMED, *RENAMED.values()]}
        answer = await self.command(
            {
                "listCollections": 1,
                "nameOnly": True,
                "authorizedCollections": True,
                "filter": {"name": named, "type": "collection"},
            }
        )
        return [each["name"] for each in answer["cursor"]["firstBatch"]]

    async def _following(self, call: Callable[[], Awaitable[Result]]) -> Result:
        """Makes a call that was refused under an earlier name again, under the name that stands by then."""
        for _ in range(RENAMING_TRIES_MAX):
            try:
                return await call()
            except Exception as error:
                if not self._names.may_have_changed(error):
                    raise
            if not self._names.learn(await self.renamed_collections()):
                await self._runtime.sleep(RENAMING_PAUSE_S)
        return await call()

    async def command(
        self,
        command: Mapping[str, Any],
        *,
        database: str | None = None,
        timeout_ms_max: int | None = None,
    ) -> Document:
        target = self._database if database is None else self._client.get_database(database)
        seconds = self._operation_seconds()
        if timeout_ms_max is not None:
            seconds = min(seconds, timeout_ms_max / 1000)
        with translated(Effect.READ, self._heartbeats):
            answer: Document = await self._execution.run(lambda: target.command(command), seconds_max=seconds)
        return answer

    async def transaction(self, body: Callable[[MongoTransaction], Awaitable[Result]]) -> Result:
        deadline = self._runtime.monotonic() + self._bounds.transaction_timeout_ms_max / 1000
        for attempt in range(1, TRANSACTION_ATTEMPTS_MAX + 1):
            try:
                return await self._following(partial(self._attempt, body, deadline))
            except DependencyUnavailable as error:
                if not is_transient(error) or attempt == TRANSACTION_ATTEMPTS_MAX:
                    raise
            # Jitter: two writers in conflict must not meet again in step.
            pause_ms = random.uniform(0, min(2**attempt, BACKOFF_MS_MAX))  # noqa: S311 - not a secret
            await self._runtime.sleep(pause_ms / 1000)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def unfit(self, why: str) -> DependencyUnavailable:
        """For a server that answers and cannot be used, with its name."""
        return DependencyUnavailable(DEPENDENCY, self._heartbeats.said(why))

    def on_commit(self, listener: Callable[[object], None]) -> None:
        self._listeners.append(listener)

    async def close(self) -> None:
        self._closed = True
        with translated(Effect.READ, self._heartbeats):
            await self._execution.run(
                self._client.close, seconds_max=self._bounds.operation_timeout_ms_max / 1000
            )

    async def _attempt(
        self, body: Callable[[MongoTransaction], Awaitable[Result]], deadline: float
    ) -> Result:
        def seconds_left() -> float:
            left = deadline - self._runtime.monotonic()
            if left <= 0:
                raise DependencyUnavailable(DEPENDENCY, "transaction timed out")
            return min(left, self._operation_seconds())

        transaction = TransactionAttempt(
            client=self._client,
            execution=self._execution,
            heartbeats=self._heartbeats,
            collection=lambda name, raw: self._handle(name, Concern.MAJORITY, raw),
            seconds_left=seconds_left,
        )
        try:
            await transaction.begin()
            result = await body(transaction)
            await transaction.commit()
        except BaseException:
            # The abort goes out even when the caller is cancelled: open transactions hold locks.
            await self._runtime.shielded(transaction.end, name="mongo-abort")
            raise
        for fact in transaction.facts:
            for listener in self._listeners:
                listener(fact)
        await transaction.end()
        return result

    def _operation_seconds(self) -> float:
        if self._closed:
            raise DependencyUnavailable(DEPENDENCY, "closed")
        return self._bounds.operation_timeout_ms_max / 1000

    def _handle(self, name: str, concern: Concern, raw: bool) -> Any:
        majority = concern is Concern.MAJORITY
        return self._database.get_collection(
            self._names.standing(name),
            codec_options=_RAW if raw else _PLAIN,
            read_preference=ReadPreference.PRIMARY,
            read_concern=ReadConcern("majority" if majority else "local"),
            write_concern=MAJORITY_WRITE if majority else WriteConcern(1),
        )
