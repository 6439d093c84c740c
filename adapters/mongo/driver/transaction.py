"""One attempt at a transaction: a session of its own, one bound for everything in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pymongo import WriteConcern
from pymongo.read_concern import ReadConcern

from adapters.mongo.driver.collection import BoundCollection
from adapters.mongo.driver.errors import Effect, is_transient, translated
from adapters.mongo.driver.execution import Execution
from adapters.mongo.driver.heartbeats import Heartbeats
from adapters.mongo.driver.interface import DEPENDENCY
from ports.errors import DependencyUnavailable, OutcomeUnknown

MAJORITY_WRITE = WriteConcern("majority", j=True)
COMMIT_ATTEMPTS_MAX = 3
END_TIMEOUT_MS_MAX = 1_000


class TransactionAttempt:
    """`MongoTransaction` over one session. `seconds_left` raises once the bound is spent."""

    def __init__(
        self,
        *,
        client: Any,
        execution: Execution,
        heartbeats: Heartbeats,
        collection: Callable[[str, bool], Any],
        seconds_left: Callable[[], float],
    ) -> None:
        self._client = client
        self._execution = execution
        self._heartbeats = heartbeats
        self._collection = collection
        self._seconds_left = seconds_left
        self._session: Any = None
        self.facts: list[object] = []
        """Told to the driver's listeners once it is committed."""

    def collection(self, name: str, *, raw: bool = False) -> BoundCollection:
        return BoundCollection(
            collection=self._collection(name, raw),
            execution=self._execution,
            heartbeats=self._heartbeats,
            seconds_left=self._seconds_left,
            session=self._session,
        )

    def tell_of(self, fact: object) -> None:
        self.facts.append(fact)

    async def begin(self) -> None:
        with translated(Effect.READ, self._heartbeats):
            self._session = await self._run(self._client.start_session)
            await self._run(
                lambda: self._session.start_transaction(
                    read_concern=ReadConcern("snapshot"), write_concern=MAJORITY_WRITE
                )
            )

    async def commit(self) -> None:
        """Committing again is idempotent, so an unknown outcome is asked for again, a few times."""
        unknown: DependencyUnavailable | None = None
        for _ in range(COMMIT_ATTEMPTS_MAX):
            try:
                with translated(Effect.WRITE, self._heartbeats):
                    await self._run(self._session.commit_transaction)
            except DependencyUnavailable as error:
                if is_transient(error):
                    raise
                unknown = error
            else:
                return
        raise OutcomeUnknown(DEPENDENCY, "commit") from unknown

    async def end(self) -> None:
        """Aborts an uncommitted one; the driver ignores an abort that does not get through."""
        if self._session is not None:
            with translated(Effect.READ, self._heartbeats):
                await self._execution.run(self._session.end_session, seconds_max=END_TIMEOUT_MS_MAX / 1000)

    async def _run(self, call: Callable[[], Any]) -> Any:
        return await self._execution.run(call, seconds_max=self._seconds_left())
