"""A journal and checkpoints behind a network that is slow, loses answers, and delivers late.

The store itself survives every process. What is drawn: how long a request and its answer travel;
whether the request is lost, its answer is lost, or the request arrives long after its caller gave up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from adapters.memory.ledger.claims import MemoryClaims
from adapters.memory.ledger.journal import MemoryCheckpoints, MemoryJournal
from domain.ledger.account import AccountState
from domain.ledger.chain import AppendResult, JournalDocument
from domain.ledger.crossings import Snapshot
from domain.ledger.entries import Recorded
from ports.errors import DependencyUnavailable
from ports.ledger.claims import Claim, Claims
from ports.ledger.journal import AssetCensus, Checkpoints, Excerpt, Journal, Named, StoredState, Unreadable
from ports.runtime import Runtime
from tests.simulation.runtime.simulated_runtime import SimulatedRuntime, Simulation

Answer = TypeVar("Answer")

TRAVEL_S_MAX = 0.004
LATE_S_MAX = 2.0


@dataclass(frozen=True, slots=True)
class Faults:
    """How often each fault happens, 0 … 1 of all calls."""

    lost_request: float = 0.0
    lost_answer: float = 0.0
    late_append: float = 0.0


class Outside:
    """The store that every process of one simulation talks to."""

    def __init__(self, simulation: Simulation, faults: Faults = Faults()) -> None:
        self.simulation = simulation
        self.faults = faults
        self.journal = MemoryJournal()
        self.checkpoints = MemoryCheckpoints()
        self.claims = MemoryClaims(simulation.clock())

    def reached_from(self, runtime: Runtime) -> tuple[Journal, Checkpoints]:
        return UnreliableJournal(self, runtime), UnreliableCheckpoints(self, runtime)

    def claims_reached_from(self, runtime: Runtime) -> Claims:
        return UnreliableClaims(self, runtime)


class _Connection:
    def __init__(self, outside: Outside, runtime: Runtime) -> None:
        self._outside = outside
        self._runtime = runtime

    async def _travel(self) -> None:
        await self._runtime.sleep(self._outside.simulation.random.uniform(0, TRAVEL_S_MAX))

    def _happens(self, probability: float) -> bool:
        return self._outside.simulation.random.random() < probability

    async def _call(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        await self._travel()
        if self._happens(self._outside.faults.lost_request):
            raise DependencyUnavailable("store", "request lost")
        answer = await call()
        await self._travel()
        if self._happens(self._outside.faults.lost_answer):
            raise DependencyUnavailable("store", "answer lost")
        return answer


class UnreliableJournal(_Connection):
    async def append(self, document: JournalDocument) -> AppendResult:
        if self._happens(self._outside.faults.late_append):
            self._deliver_late(document)
            await self._travel()
            return AppendResult.UNKNOWN
        try:
            return await self._call(lambda: self._arrive(document))
        except DependencyUnavailable:
            return AppendResult.UNKNOWN

    async def _arrive(self, document: JournalDocument) -> AppendResult:
        head = await self._outside.journal.head(document.book)
        # A document whose predecessor never came cannot arrive in a real journal's place either:
        # its writer read the predecessor from a majority.
        assert document.seq <= (head.seq if head else 0) + 1
        return await self._outside.journal.append(document)

    def _deliver_late(self, document: JournalDocument) -> None:
        """The request stays in the network, also when its sender is long dead."""
        world = self._outside.simulation.outside
        delay_s = self._outside.simulation.random.uniform(0, LATE_S_MAX)

        async def deliver() -> None:
            await world.sleep(delay_s)
            await self._arrive(document)

        world.launch(deliver, name="late append")

    async def head(self, book: str) -> JournalDocument | None:
        return await self._call(lambda: self._outside.journal.head(book))

    async def last_seq(self, book: str) -> int:
        return await self._call(lambda: self._outside.journal.last_seq(book))

    async def at(self, book: str, seq: int) -> JournalDocument | None:
        return await self._call(lambda: self._outside.journal.at(book, seq))

    async def after(self, book: str, seq: int, *, limit: int) -> Sequence[JournalDocument]:
        return await self._call(lambda: self._outside.journal.after(book, seq, limit=limit))

    async def stored_after(
        self, book: str, seq: int, *, limit: int
    ) -> Sequence[JournalDocument | Unreadable]:
        return await self._call(lambda: self._outside.journal.stored_after(book, seq, limit=limit))

    async def touching(
        self, book: str, subjects: Mapping[str, int], *, limit: int
    ) -> Sequence[JournalDocument]:
        return await self._call(lambda: self._outside.journal.touching(book, subjects, limit=limit))

    async def named(self, book: str, first: int, last: int, *, limit: int) -> Sequence[Named]:
        return await self._call(lambda: self._outside.journal.named(book, first, last, limit=limit))

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
        return await self._call(
            lambda: self._outside.journal.of_account(
                book, account_id, asset, above=above, upto=upto, newest_first=newest_first,
                documents_max=documents_max,
            )
        )  # fmt: skip

    async def recorded(self, book: str, keys: Iterable[str]) -> Mapping[str, Recorded]:
        wanted = list(keys)
        return await self._call(lambda: self._outside.journal.recorded(book, wanted))


class UnreliableCheckpoints(_Connection):
    async def load(self, book: str, account_keys: Sequence[str]) -> Mapping[str, AccountState]:
        return await self._call(lambda: self._outside.checkpoints.load(book, account_keys))

    async def save(self, book: str, states: Sequence[AccountState]) -> None:
        return await self._call(lambda: self._outside.checkpoints.save(book, states))

    async def due(self, now_ms: int, *, limit: int) -> Sequence[tuple[str, str]]:
        return await self._call(lambda: self._outside.checkpoints.due(now_ms, limit=limit))

    async def census(self, bounds: Sequence[int]) -> Sequence[AssetCensus]:
        return await self._call(lambda: self._outside.checkpoints.census(bounds))

    async def keep(self, book: str, snapshots: Sequence[Snapshot]) -> None:
        return await self._call(lambda: self._outside.checkpoints.keep(book, snapshots))

    async def kept(self, book: str, account_key: str, time_ms: int) -> Snapshot | None:
        return await self._call(lambda: self._outside.checkpoints.kept(book, account_key, time_ms))

    async def states_after(self, book: str, account_key: str, *, limit: int) -> Sequence[StoredState]:
        return await self._call(
            lambda: self._outside.checkpoints.states_after(book, account_key, limit=limit)
        )

    async def snapshots_after(
        self, book: str, account_key: str, seq: int, *, limit: int
    ) -> Sequence[StoredState]:
        return await self._call(
            lambda: self._outside.checkpoints.snapshots_after(book, account_key, seq, limit=limit)
        )


class UnreliableClaims(_Connection):
    async def make(self, book: str, who: str, *, for_ms: int) -> None:
        await self._call(lambda: self._outside.claims.make(book, who, for_ms=for_ms))

    async def standing(self, book: str) -> Claim | None:
        return await self._call(lambda: self._outside.claims.standing(book))

    async def withdraw(self, book: str, who: str) -> None:
        await self._call(lambda: self._outside.claims.withdraw(book, who))


def _fits(outside: Outside, runtime: SimulatedRuntime) -> tuple[Journal, Checkpoints]:
    return UnreliableJournal(outside, runtime), UnreliableCheckpoints(outside, runtime)
