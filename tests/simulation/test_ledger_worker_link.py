"""Workers of one host that hand their commands to the one that holds the book, each storm from its seed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from adapters.worker_link.link import LOOK_INTERVAL_S, QUIET_LOOKS_MAX
from application.ledger.orders import Caller, TransferOrder
from application.ledger.service import Ledger
from domain.ledger.entries import TransferPosted
from domain.ledger.outcomes import Outcome, Rejected
from ports.runtime import TaskCancelled
from tests.seeds import seeds
from tests.simulation.ledger_world import (
    BOOK,
    Service,
    Told,
    audit,
    grant,
    opening,
    posted,
    until_answered,
)
from tests.simulation.one_host import OneHost
from tests.simulation.runtime.simulated_runtime import Simulation
from tests.simulation.unreliable_store import LATE_S_MAX, Faults, Outside

SEEDS = seeds(20)
CALM = Faults()
STORMY = Faults(lost_request=0.05, lost_answer=0.05, late_append=0.05)
WORKERS = 4
CLIENTS = 9
REQUESTS = 8
UseCase = Callable[[Ledger], Awaitable[Outcome]]


def spend(code: str, source: str, destination: str, amount: int) -> UseCase:
    """A transfer under an id that the worker makes: nobody else could repeat it."""
    order = TransferOrder(source, destination, amount, code)
    return lambda ledger: ledger.transfer(Caller(BOOK, "test"), order)


async def two_workers(outside: Outside, host: OneHost, *, funds: int) -> tuple[Service, Service]:
    """The first holds the book, and the second has had alice's funds granted through it."""
    first = await Service(outside, "first", host=host).start()
    second = await Service(outside, "second", host=host).start()
    posted(await until_answered(lambda: first, opening("alice")))
    posted(await until_answered(lambda: second, grant("alice", funds, key="g")))
    return first, second


class Storm:
    """Workers that are killed and drained at any moment, and clients that ask each thing once."""

    accounts = ("alice", "bob", "carol")

    def __init__(self, simulation: Simulation, faults: Faults, hosts: int) -> None:
        self.simulation = simulation
        self.random = simulation.random
        self.outside = Outside(simulation, faults)
        self.hosts = [OneHost(simulation) for _ in range(hosts)]
        self.workers: list[Service] = []
        self.told = Told()
        self.codes: dict[str, Outcome] = {}
        self.unanswered: list[str] = []

    async def world(self) -> None:
        self.workers = [
            await self._worker(f"w{number}", self.hosts[number % len(self.hosts)])
            for number in range(WORKERS)
        ]
        for account in self.accounts:
            posted(await until_answered(self._any, opening(account)))
            posted(await until_answered(self._any, grant(account, 30, key=account)))
        launch = self.simulation.outside.launch
        clients = [
            launch(lambda number=number: self._client(number), name="client")  # type: ignore[misc]
            for number in range(CLIENTS)
        ]
        for generation in range(3):
            await self.simulation.outside.sleep(self.random.uniform(0, 0.04))
            await self._lose_one(f"g{generation}")
        for client in clients:
            await client.wait()
        await self._check()

    async def _worker(self, name: str, host: OneHost) -> Service:
        return await Service(self.outside, name, host=host).start()

    def _any(self) -> Service:
        return self.random.choice(self.workers)

    async def _lose_one(self, name: str) -> None:
        host = self.random.choice(self.hosts)
        holder = host.holder()
        victim = next((each for each in self.workers if each.runtime is holder), self._any())
        if self.random.random() < 0.2:
            victim = self._any()
        place = self.workers.index(victim)
        if self.random.random() < 0.3:
            self.workers[place] = await self._worker(name, host)
            await victim.stop()
        else:
            victim.crash()
            self.workers[place] = await self._worker(name, host)

    async def _client(self, number: int) -> None:
        last_seq = 0
        for index in range(REQUESTS):
            code = f"c{number}-{index}"
            source, destination = self.random.sample([*self.accounts, "@revenue"], 2)
            worker = self._any()
            outcome = await worker.ask(spend(code, source, destination, self.random.randrange(1, 30)))
            if outcome is None:
                if not worker.runtime.crashed:
                    self.unanswered.append(code)
                continue
            self.codes[code] = outcome
            if not isinstance(outcome, Rejected):
                assert not outcome.replayed
                assert outcome.recorded.seq > last_seq
                last_seq = outcome.recorded.seq
                self.told.remember(code, outcome)

    async def _check(self) -> None:
        await audit(self.outside, self.told)
        documents = await self.outside.journal.after(BOOK, 0, limit=1_000_000)
        recorded = [
            entry.code
            for document in documents
            for entry in document.entries
            if isinstance(entry, TransferPosted)
        ]
        for code, outcome in self.codes.items():
            expected = 0 if isinstance(outcome, Rejected) else 1
            assert recorded.count(code) == expected, f"{code} was answered {outcome}"
        if self.outside.faults == CALM:
            # A worker that lives answers all but the rejections that its dead holder left unproven.
            assert not set(self.unanswered).intersection(recorded)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("hosts", [1, 2])
@pytest.mark.parametrize("faults", [CALM, STORMY], ids=["calm", "stormy"])
def test_whoever_dies_each_answer_is_true_and_each_command_counts_once(
    faults: Faults, hosts: int, seed: int
) -> None:
    simulation = Simulation(seed)
    simulation.run(Storm(simulation, faults, hosts).world)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_rejection_is_not_answered_while_a_dead_holders_last_document_may_still_post_it(seed: int) -> None:
    simulation = Simulation(seed)
    outside = Outside(simulation)
    host = OneHost(simulation)
    launch, sleep = simulation.outside.launch, simulation.outside.sleep

    async def world() -> None:
        holder, other = [await Service(outside, name, host=host).start() for name in ("holder", "other")]
        posted(await until_answered(lambda: holder, opening("alice")))
        posted(await until_answered(lambda: other, opening("bob")))
        filler = launch(lambda: holder.ask(opening("carol")), name="filler")
        paid = launch(lambda: holder.ask(grant("alice", 10, key="g")), name="grant")
        await sleep(0.001)
        spent = launch(lambda: other.ask(spend("spent", "alice", "@revenue", 10)), name="spend")
        await filler.wait()
        outside.faults = Faults(late_append=1.0)
        await sleep(0.004)
        holder.crash()
        outside.faults = CALM
        outcome = await spent.wait()
        with suppress(TaskCancelled):
            await paid.wait()
        await sleep(LATE_S_MAX)
        documents = await outside.journal.after(BOOK, 0, limit=1_000)
        codes = [getattr(entry, "code", "") for document in documents for entry in document.entries]
        if outcome is not None:
            assert ("spent" in codes) is not isinstance(outcome, Rejected)

    simulation.run(world)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_worker_takes_over_when_its_holder_dies_and_not_when_it_is_asked_next(seed: int) -> None:
    simulation = Simulation(seed)
    outside = Outside(simulation)
    host = OneHost(simulation)

    async def world() -> None:
        first, _ = await two_workers(outside, host, funds=10)
        assert host.holders == ["first"]
        first.crash()
        await simulation.outside.sleep(0.05)
        assert host.holders == ["first", "second"]

    simulation.run(world)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_holder_that_ends_in_order_leaves_nobody_in_doubt(seed: int) -> None:
    simulation = Simulation(seed)
    outside = Outside(simulation)
    host = OneHost(simulation)
    launch = simulation.outside.launch

    async def world() -> None:
        first, second = await two_workers(outside, host, funds=50)
        asked = [
            launch(lambda code=f"c{place}": second.ask(spend(code, "alice", "@revenue", 10)), name="client")  # type: ignore[misc]
            for place in range(10)
        ]
        await simulation.outside.sleep(simulation.random.uniform(0, 0.01))
        await first.stop()
        outcomes = [await each.wait() for each in asked]
        assert None not in outcomes
        assert sum(isinstance(outcome, Rejected) for outcome in outcomes) == 5
        await simulation.outside.sleep(0.05)
        assert host.holders == ["first", "second"]
        posted(await until_answered(lambda: second, grant("alice", 1, key="h")))

    simulation.run(world)


@pytest.mark.parametrize("seed", SEEDS)
def test_while_a_holder_is_stopped_the_others_append_by_themselves(seed: int) -> None:
    simulation = Simulation(seed)
    outside = Outside(simulation)
    host = OneHost(simulation)
    monotonic = simulation.outside.monotonic

    async def world() -> None:
        first, second = await two_workers(outside, host, funds=10)
        host.freeze(first.runtime)
        began_s = monotonic()
        outcome = await second.ask(spend("taken", "alice", "@revenue", 1))
        assert outcome is not None
        posted(outcome)
        assert monotonic() - began_s < LOOK_INTERVAL_S * (QUIET_LOOKS_MAX + 1) + 1
        began_s = monotonic()
        posted(await until_answered(lambda: second, grant("alice", 10, key="h")))
        assert monotonic() - began_s < 0.1
        host.kill(first.runtime)
        await simulation.outside.sleep(0.05)
        assert host.holders == ["first", "second"]

    simulation.run(world)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_worker_reads_what_it_handed_over(seed: int) -> None:
    simulation = Simulation(seed)
    outside = Outside(simulation)
    host = OneHost(simulation)

    async def world() -> None:
        first, second = [await Service(outside, name, host=host).start() for name in ("first", "second")]
        posted(await until_answered(lambda: first, opening("alice")))
        for number in range(1, 5):
            posted(await until_answered(lambda: second, grant("alice", 10, key=f"g{number}")))
            for worker in (first, second):
                state = await worker.state("alice")
                assert state is not None
                assert state.posted == 10 * number
        assert [batch.document.seq for batch in first.announced] == [1, 2, 3, 4, 5]
        assert second.announced == []

    simulation.run(world)
