"""A service's ledger in a simulated process, and clients that try until they are answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from adapters.worker_link.worker_link import StreamWorkerLink
from application.ledger.book_ports import BookPorts
from application.ledger.committed import CommittedBatch
from application.ledger.orders import AccountOrder, Caller, GrantOrder, TransferOrder
from application.ledger.service import Ledger
from domain.ledger.account import AccountState
from domain.ledger.chain import Head, follows, is_intact
from domain.ledger.entries import AccountOpened, Entry, TransferPosted
from domain.ledger.outcomes import Outcome, Posted, Rejected, Rejection
from domain.ledger.replay import accounts_of, replay
from ports.errors import DependencyUnavailable
from ports.runtime import Overloaded, TaskCancelled
from tests.simulation.one_host import OneHost
from tests.simulation.runtime.simulated_runtime import SeededEntropy, SimulatedRuntime
from tests.simulation.unreliable_store import Outside

BOOK = "main"
TRIES_MAX = 400


@dataclass
class Told:
    """What clients were told. An answer, once given, must stay true."""

    posted: dict[str, tuple[int, Entry]] = field(default_factory=dict)
    rejected: dict[str, Rejection] = field(default_factory=dict)

    def remember(self, id: str, outcome: Outcome) -> None:
        if isinstance(outcome, Rejected):
            self.rejected[id] = outcome.reason
            return
        told = (outcome.recorded.seq, outcome.recorded.entry)
        assert self.posted.setdefault(id, told) == told, f"{id} was answered in two ways"


class Service:
    """One process of the service. `crash` ends it; another one may follow on the same store."""

    def __init__(
        self, outside: Outside, name: str, *, accounts_max: int = 1_000, host: OneHost | None = None
    ) -> None:
        """One of several workers of a `host`, or alone on one."""
        simulation = outside.simulation
        self.runtime: SimulatedRuntime = simulation.process(name)
        self.name = name
        self._host = host
        journal, checkpoints = outside.reached_from(self.runtime)
        ports = BookPorts(
            self.runtime,
            simulation.clock(offset_ms=simulation.random.randrange(-50, 50)),
            SeededEntropy(simulation.random),
            journal,
            checkpoints,
            StreamWorkerLink(self.runtime, host.seen_by(self.runtime, name)) if host else None,
            outside.claims_reached_from(self.runtime),
        )
        self.announced: list[CommittedBatch] = []
        self.ledger = Ledger(ports, accounts_max=accounts_max, announce=self._announce)
        self._stopped = simulation.outside.event()
        self._started = simulation.outside.event()

    async def start(self) -> Service:
        self.runtime.launch(self._serve, name="serve")
        await self._started.wait()
        return self

    async def tick(self) -> None:
        """Begins to record what falls due by itself, as the service does."""

        async def begin() -> None:
            self.ledger.start()

        await self.runtime.start(begin, name="tick").wait()

    def crash(self) -> None:
        if self._host is not None:
            self._host.kill(self.runtime)
        else:
            self.runtime.crash()

    async def stop(self) -> None:
        """In order, as on SIGTERM."""
        await self.runtime.start(self.ledger.stop, name="stop").wait()

    async def _announce(self, batch: CommittedBatch) -> None:
        self.announced.append(batch)

    async def _serve(self) -> None:
        async with self.runtime.running():
            self._started.set()
            await self._stopped.wait()

    async def ask(self, use_case: Callable[[Ledger], Awaitable[Outcome]]) -> Outcome | None:
        """One request to this process; None when nobody can say what became of it."""
        if self.runtime.crashed:
            return None
        try:
            return await self.runtime.start(lambda: use_case(self.ledger), name="request").wait()
        except (DependencyUnavailable, Overloaded, TaskCancelled):
            return None

    async def state(self, account: str) -> AccountState | None:
        async def read() -> AccountState | None:
            for _ in range(TRIES_MAX):
                try:
                    return await self.ledger.account(BOOK, account)
                except DependencyUnavailable:
                    continue
            raise AssertionError("no read came through")

        return await self.runtime.start(read, name="read").wait()


def opening(id: str, *, user: str | None = None) -> Callable[[Ledger], Awaitable[Outcome]]:
    return lambda ledger: ledger.open_account(Caller(BOOK, "test"), AccountOrder("GEMS", id=id, user_id=user))


def grant(account: str, amount: int, *, key: str) -> Callable[[Ledger], Awaitable[Outcome]]:
    order = GrantOrder(account, amount, "paid", 50, "grant")
    return lambda ledger: ledger.grant(Caller(BOOK, "test", key), order)


def transfer(id: str, source: str, destination: str, amount: int) -> Callable[[Ledger], Awaitable[Outcome]]:
    order = TransferOrder(source, destination, amount, "test", id=id)
    return lambda ledger: ledger.transfer(Caller(BOOK, "test"), order)


async def until_answered(
    service: Callable[[], Service], use_case: Callable[[Ledger], Awaitable[Outcome]]
) -> Outcome:
    """A client that sends the same request again for as long as nobody can say what became of it."""
    for _ in range(TRIES_MAX):
        current = service()
        outcome = await current.ask(use_case)
        if outcome is not None:
            return outcome
        await current.runtime.simulation.outside.sleep(0.05)
    raise AssertionError("no answer came")


def posted(outcome: Outcome) -> Posted:
    assert isinstance(outcome, Posted), outcome
    return outcome


async def audit(outside: Outside, told: Told) -> dict[str, AccountState]:
    """Reads the surviving journal as a stranger would, holds what was told against it, and gives the
    balances that follow from it."""
    documents = await outside.journal.after(BOOK, 0, limit=1_000_000)
    head, seen = Head(), {}
    states: dict[str, AccountState | None] = {}
    balances: dict[str, int] = {}
    floors: dict[str, int] = {}
    for document in documents:
        assert follows(head, document), f"document {document.seq} does not follow"
        assert is_intact(document)
        head = document.head
        for entry in document.entries:
            for key, _ in accounts_of(entry):
                states.setdefault(key, None)
        for entry in document.entries:
            for key in entry.keys:
                assert key not in seen, f"{key} was recorded twice"
                seen[key] = (document.seq, entry)
            if isinstance(entry, AccountOpened):
                floors[entry.account.key] = -(entry.account.overdraft_limit or 0)
            elif isinstance(entry, TransferPosted):
                _add_up(balances, floors, entry)
        states.update(replay(states, document).accounts)
    for name, (seq, entry) in told.posted.items():
        assert seen.get(entry.keys[0]) == (seq, entry), f"{name} was acknowledged and is not there"
    for key, state in states.items():
        assert state is not None
        assert balances.get(key, 0) == state.posted
    assert sum(balances.values()) == 0
    return {key: state for key, state in states.items() if state is not None}


def _add_up(balances: dict[str, int], floors: dict[str, int], entry: TransferPosted) -> None:
    for side, amount in ((entry.source, -entry.amount), (entry.destination, entry.amount)):
        key = f"{side}:{entry.asset}" if side.startswith("@") else side
        balances[key] = balances.get(key, 0) + amount
        if side != "@issuance":
            assert balances[key] >= floors.get(key, 0), f"{side} went below its limit at {entry.id}"
