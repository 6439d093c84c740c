"""The one implementation of `MongoCollection`, over any client and execution."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pymongo
from pymongo import ReturnDocument

from adapters.mongo.driver.errors import Effect, translated
from adapters.mongo.driver.execution import Execution
from adapters.mongo.driver.heartbeats import Heartbeats
from adapters.mongo.driver.interface import Change, Document, Filter, Index, Sort, Updated, UpdateOne

Follow = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]


class BoundCollection:
    """A client's collection, the execution that carries its calls out, and maybe a session.

    `seconds_left` is asked before each call: a transaction's calls share one bound.
    """

    def __init__(
        self,
        *,
        collection: Any,
        execution: Execution,
        heartbeats: Heartbeats,
        seconds_left: Callable[[], float],
        session: Any = None,
    ) -> None:
        self._collection = collection
        self._execution = execution
        self._heartbeats = heartbeats
        self._seconds_left = seconds_left
        self._session = session
        self._write_effect = Effect.WRITE if session is None else Effect.TENTATIVE

    async def find_one(
        self, query: Filter, *, sort: Sort = (), projection: Mapping[str, Any] | None = None
    ) -> Document | None:
        found: Document | None = await self._read(
            lambda: self._collection.find_one(
                query, projection, sort=list(sort) or None, session=self._session
            )
        )
        return found

    async def find(
        self,
        query: Filter,
        *,
        sort: Sort = (),
        limit: int = 0,
        projection: Mapping[str, Any] | None = None,
        hint: str | None = None,
    ) -> list[Document]:
        return await self._read_list(
            lambda: self._collection.find(
                query,
                projection,
                sort=list(sort) or None,
                limit=limit,
                hint=hint,
                session=self._session,
            )
        )

    async def insert_one(self, document: Document) -> None:
        await self._write(lambda: self._collection.insert_one(document, session=self._session))

    async def insert_many(self, documents: Sequence[Document], *, ordered: bool = True) -> None:
        if documents:
            await self._write(
                lambda: self._collection.insert_many(documents, ordered=ordered, session=self._session)
            )

    async def update_one(self, query: Filter, change: Change, *, upsert: bool = False) -> Updated:
        result = await self._write(
            lambda: self._collection.update_one(query, change, upsert=upsert, session=self._session)
        )
        return _updated(result)

    async def update_many(self, query: Filter, change: Change) -> Updated:
        result = await self._write(lambda: self._collection.update_many(query, change, session=self._session))
        return _updated(result)

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
        found: Document | None = await self._write(
            lambda: self._collection.find_one_and_update(
                query,
                change,
                projection=projection,
                sort=list(sort) or None,
                upsert=upsert,
                return_document=ReturnDocument.AFTER if return_after else ReturnDocument.BEFORE,
                session=self._session,
            )
        )
        return found

    async def delete_one(self, query: Filter) -> int:
        result = await self._write(lambda: self._collection.delete_one(query, session=self._session))
        return int(result.deleted_count)

    async def delete_many(self, query: Filter) -> int:
        result = await self._write(lambda: self._collection.delete_many(query, session=self._session))
        return int(result.deleted_count)

    async def bulk_write(self, updates: Sequence[UpdateOne], *, ordered: bool = False) -> Updated:
        if not updates:
            return Updated(matched=0, modified=0, upserted=0)
        requests = [
            pymongo.UpdateOne(update.query, update.change, upsert=update.upsert) for update in updates
        ]
        result = await self._write(
            lambda: self._collection.bulk_write(requests, ordered=ordered, session=self._session)
        )
        return Updated(
            matched=result.matched_count,
            modified=result.modified_count,
            upserted=result.upserted_count,
        )

    async def count(self, query: Filter, *, limit: int = 0) -> int:
        bound = {"limit": limit} if limit else {}
        return int(
            await self._read(lambda: self._collection.count_documents(query, session=self._session, **bound))
        )

    async def aggregate(self, pipeline: Sequence[Mapping[str, Any]]) -> list[Document]:
        return await self._read_list(
            lambda: self._collection.aggregate(list(pipeline), session=self._session)
        )

    async def create_indexes(self, indexes: Sequence[Index]) -> None:
        if indexes:
            models = [_model(index) for index in indexes]
            await self._write(lambda: self._collection.create_indexes(models))

    async def _read(self, call: Callable[[], Any]) -> Any:
        with translated(Effect.READ, self._heartbeats):
            return await self._execution.run(call, seconds_max=self._seconds_left())

    async def _read_list(self, call: Callable[[], Any]) -> list[Document]:
        with translated(Effect.READ, self._heartbeats):
            return await self._execution.run_to_list(call, seconds_max=self._seconds_left())

    async def _write(self, call: Callable[[], Any]) -> Any:
        with translated(self._write_effect, self._heartbeats):
            return await self._execution.run(call, seconds_max=self._seconds_left())


class RenamedCollection(BoundCollection):
    """One that may stand under an earlier name, and be renamed at any time: each call asks `handle`."""

    def __init__(
        self,
        *,
        handle: Callable[[], Any],
        follow: Follow,
        execution: Execution,
        heartbeats: Heartbeats,
        seconds_left: Callable[[], float],
    ) -> None:
        super().__init__(
            collection=None, execution=execution, heartbeats=heartbeats, seconds_left=seconds_left
        )
        self._handle = handle
        self._follow = follow

    async def _read(self, call: Callable[[], Any]) -> Any:
        return await self._follow(partial(super()._read, self._with_handle(call)))

    async def _read_list(self, call: Callable[[], Any]) -> list[Document]:
        found: list[Document] = await self._follow(partial(super()._read_list, self._with_handle(call)))
        return found

    async def _write(self, call: Callable[[], Any]) -> Any:
        return await self._follow(partial(super()._write, self._with_handle(call)))

    def _with_handle(self, call: Callable[[], Any]) -> Callable[[], Any]:
        def bound() -> Any:
            self._collection = self._handle()
            return call()

        return bound


def _updated(result: Any) -> Updated:
    upserted = 0 if result.upserted_id is None else 1
    return Updated(matched=result.matched_count, modified=result.modified_count, upserted=upserted)


def _model(index: Index) -> pymongo.IndexModel:
    options: dict[str, Any] = {"name": index.name}
    if index.unique:
        options["unique"] = True
    if index.partial is not None:
        options["partialFilterExpression"] = dict(index.partial)
    if index.expire_after_seconds is not None:
        options["expireAfterSeconds"] = index.expire_after_seconds
    return pymongo.IndexModel(list(index.keys), **options)
