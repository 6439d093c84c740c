"""The ledger when it is behind, when stores are slow or away, and when repeats come gathered with others."""

from __future__ import annotations

from functools import partial

import pytest

from adapters.memory.ledger.journal import MemoryCheckpoints, MemoryJournal
from application.ledger import state_cache as known_module
from application.ledger.announcer import ENTRIES_WAITING_MAX, Announcer
from application.ledger.committed import CommittedBatch
from application.ledger.local_submitter import AWAY_S, LIMITS
from application.ledger.orders import Caller, TransferOrder
from application.ledger.state_cache import StateCache
from domain.ledger.account import Account, AccountState
from domain.ledger.chain import AppendResult, Head, JournalDocument, seal
from domain.ledger.commit import sizes as sizes_module
from domain.ledger.entries import AccountOpened
from domain.ledger.machine import decide
from domain.ledger.outcomes import Outcome
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime
from tests.domain.ledger.play import named
from tests.seeds import seeds
from tests.simulation.ledger_world import (
    BOOK,
    Service,
    grant,
    opening,
    posted,
    transfer,
    until_answered,
)
from tests.simulation.runtime.simulated_runtime import SimulatedRuntime, Simulation
from tests.simulation.unreliable_store import Outside

SEEDS = seeds(10)


@pytest.mark.parametrize("seed", SEEDS)
def test_an_account_is_never_missing_because_its_reader_was_far_behind(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_module, "BEHIND_DOCUMENTS_MAX", 64)
    simulation = Simulation(seed)
    outside = Outside(simulation)

    async def world() -> None:
        writer, reader = await Service(outside, "writer").start(), await Service(outside, "reader").start()
        for account in ("alice", "bob"):
            posted(await until_answered(lambda: writer, opening(account)))
        assert await reader.state("bob") is not None
        for number in range(150):
            posted(await until_answered(lambda: writer, grant("alice", 1, key=f"g{number}")))
        looking = simulation.outside.launch(lambda: reader.state("bob"), name="look")
        reads = []
        for _ in range(12):
            reads.append(simulation.outside.launch(lambda: eventual(reader, "alice"), name="read"))
            await simulation.outside.sleep(0.002)
        for read in reads:
            assert await read.wait() is not None
        await looking.wait()
        state = await reader.state("alice")
        assert state is not None
        assert state.posted == 150

    simulation.run(world)


async def eventual(service: Service, account: str) -> AccountState | None:
    async def read() -> AccountState | None:
        return await service.ledger.account(BOOK, account, fresh=False)

    return await service.runtime.start(read, name="read").wait()


@pytest.mark.parametrize("seed", SEEDS)
def test_a_repeat_in_an_atomic_batch_does_not_reject_the_rest_of_it(seed: int) -> None:
    simulation = Simulation(seed)
    outside = Outside(simulation)

    async def world() -> None:
        service = await Service(outside, "only").start()
        for account in ("alice", "bob"):
            posted(await until_answered(lambda: service, opening(account)))
            posted(await until_answered(lambda: service, grant(account, 100, key=account)))
        posted(await until_answered(lambda: service, transfer("t1", "alice", "@revenue", 100)))
        # The first takes the flush, so that the other two are gathered into the next one.
        tasks = [
            service.runtime.start(lambda: transfer("s1", "bob", "@revenue", 1)(service.ledger), name="s1"),
            service.runtime.start(lambda: transfer("s2", "bob", "@revenue", 1)(service.ledger), name="s2"),
        ]
        outcomes = await service.runtime.start(lambda: atomic(service), name="atomic").wait()
        assert [named(outcome) for outcome in outcomes] == ["replayed", "posted"]
        for task in tasks:
            posted(await task.wait())

    simulation.run(world)


async def atomic(service: Service) -> list[Outcome]:
    orders = [
        TransferOrder("alice", "@revenue", 100, "test", id="t1"),
        TransferOrder("bob", "@revenue", 1, "test", id="t2"),
    ]
    return await service.ledger.transfer_batch(Caller(BOOK, "test"), orders, atomic=True)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_repeat_gathered_with_others_is_answered_as_at_first(seed: int) -> None:
    simulation = Simulation(seed)
    outside = Outside(simulation)

    async def world() -> None:
        service = await Service(outside, "only").start()
        for account in ("alice", "bob"):
            posted(await until_answered(lambda: service, opening(account)))
            posted(await until_answered(lambda: service, grant(account, 100, key=account)))
        first = posted(await until_answered(lambda: service, transfer("t1", "alice", "@revenue", 100)))
        use_cases = [
            transfer("s1", "bob", "@revenue", 1),
            transfer("t1", "alice", "@revenue", 100),
            transfer("s2", "bob", "@revenue", 1),
        ]
        tasks = [
            service.runtime.start(partial(use_case, service.ledger), name="request") for use_case in use_cases
        ]
        outcomes = [posted(await task.wait()) for task in tasks]
        assert [outcome.replayed for outcome in outcomes] == [False, True, False]
        assert outcomes[1].recorded == first.recorded

    simulation.run(world)


class SilentJournal(MemoryJournal):
    """Answers nothing: each append ends with an unknown result, each read after five seconds."""

    def __init__(self, runtime: Runtime) -> None:
        super().__init__()
        self._runtime = runtime
        self.silent = False

    async def append(self, document: JournalDocument) -> AppendResult:
        if self.silent:
            await self._runtime.sleep(5)
            return AppendResult.UNKNOWN
        return await super().append(document)

    async def head(self, book: str) -> JournalDocument | None:
        if self.silent:
            await self._runtime.sleep(5)
            raise DependencyUnavailable("mongo", "silent")
        return await super().head(book)


def test_while_the_journal_is_silent_nobody_waits_for_those_before_him() -> None:
    simulation = Simulation(1)
    outside = Outside(simulation)
    service = Service(outside, "only")
    outside.journal = SilentJournal(simulation.outside)
    waits: list[float] = []

    async def world() -> None:
        await service.start()
        posted(await until_answered(lambda: service, opening("alice")))
        posted(await until_answered(lambda: service, grant("alice", 100, key="g")))
        assert isinstance(outside.journal, SilentJournal)
        outside.journal.silent = True
        clients = [simulation.outside.launch(partial(client, n), name="client") for n in range(6)]
        for each in clients:
            await each.wait()
        assert max(waits) <= LIMITS.append_s_max + LIMITS.deciding_s_max + AWAY_S + 1

    async def client(number: int) -> None:
        await simulation.outside.sleep(number * 0.5)
        began = simulation.outside.monotonic()
        assert await service.ask(transfer(f"t{number}", "alice", "@revenue", 1)) is None
        waits.append(simulation.outside.monotonic() - began)

    simulation.run(world)


def test_all_who_wait_for_a_book_share_one_attempt_to_open_it() -> None:
    simulation = Simulation(1)
    outside = Outside(simulation)
    service = Service(outside, "only")
    silent = SilentJournal(simulation.outside)
    silent.silent = True
    outside.journal = silent

    async def world() -> None:
        await service.start()
        began = simulation.outside.monotonic()
        clients = [
            simulation.outside.launch(lambda: service.ask(opening("alice")), name="client") for _ in range(20)
        ]
        for each in clients:
            assert await each.wait() is None
        assert simulation.outside.monotonic() - began < 6

    simulation.run(world)


def document(head: Head, entries: int) -> JournalDocument:
    opened = [
        AccountOpened(Account(f"a-{head.seq}-{n}", "GEMS"), (f"a:a-{head.seq}-{n}",), "f", "tests")
        for n in range(entries)
    ]
    return seal(BOOK, head, opened, time_ms=head.time_ms, nonce=f"n-{head.seq}")


def test_announcements_are_bounded_by_entries_and_what_is_dropped_is_counted() -> None:
    runtime = SimulatedRuntime(1)
    announced: list[int] = []

    async def announce(batch: CommittedBatch) -> None:
        await runtime.sleep(1)
        announced.append(batch.document.seq)

    async def main() -> None:
        async with runtime.running():
            announcer = Announcer(runtime, announce)
            head = Head()
            for _ in range(4):
                batch = document(head, ENTRIES_WAITING_MAX // 2)
                announcer.add(CommittedBatch(batch, {}))
                head = batch.head
            await runtime.sleep(10)
            assert announced == [3, 4]
            assert announcer.dropped == ENTRIES_WAITING_MAX

    runtime.run(main)


def test_what_was_committed_is_announced_before_the_ledger_stops() -> None:
    runtime = SimulatedRuntime(1)
    announced: list[int] = []

    async def announce(batch: CommittedBatch) -> None:
        await runtime.sleep(0.1)
        announced.append(batch.document.seq)

    async def main() -> None:
        async with runtime.running():
            announcer = Announcer(runtime, announce)
            first = document(Head(), 1)
            announcer.add(CommittedBatch(first, {}))
            announcer.add(CommittedBatch(document(first.head, 1), {}))
            await announcer.stop()
            assert announced == [1, 2]

    runtime.run(main)


def test_a_commit_acknowledged_after_a_look_saw_more_does_not_turn_the_head_back() -> None:
    runtime = SimulatedRuntime(1)

    async def main() -> None:
        known = StateCache(BOOK, MemoryJournal(), MemoryCheckpoints(), accounts_max=10)
        first = document(Head(), 1)
        second = document(first.head, 1)
        known.apply(first)
        known.apply(second)
        known.adopt(first, decide({}, [], known={}, seq=1, time_ms=0))
        assert known.head == second.head

    runtime.run(main)


def test_a_batch_whose_outcome_outgrows_a_document_goes_into_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes_module, "OUTCOME_BYTES_MAX", 8 * 2 * sizes_module.ENTRY_BYTES)
    simulation = Simulation(1)
    outside = Outside(simulation)

    async def world() -> None:
        service = await Service(outside, "only").start()
        posted(await until_answered(lambda: service, opening("alice")))
        posted(await until_answered(lambda: service, grant("alice", 100, key="g")))
        orders = [TransferOrder("alice", "@revenue", 1, "test", id=f"t{number}") for number in range(40)]

        async def batch() -> list[Outcome]:
            return await service.ledger.transfer_batch(Caller(BOOK, "test"), orders, atomic=False)

        outcomes = await service.runtime.start(batch, name="batch").wait()
        assert [named(outcome) for outcome in outcomes] == ["posted"] * 40
        documents = await outside.journal.after(BOOK, 2, limit=100)
        assert max(len(document.entries) for document in documents) <= 8
        entries = [entry.keys[0] for document in documents for entry in document.entries]
        assert entries == [f"t:t{number}" for number in range(40)]

    simulation.run(world)
