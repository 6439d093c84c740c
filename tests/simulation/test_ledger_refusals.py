"""A batch under a key has one answer, rejections too, whoever decides it, and however often it is sent."""

from __future__ import annotations

from functools import partial

import pytest

from adapters.memory.ledger.journal import MemoryJournal
from application.ledger.orders import Caller, TransferOrder
from application.ledger.service import Ledger
from domain.ledger.entries import Refused
from domain.ledger.outcomes import Outcome, Rejected
from ports.errors import DependencyUnavailable
from ports.runtime import Overloaded, TaskCancelled
from tests.application.ledger.forgery import proved
from tests.seeds import seeds
from tests.simulation.ledger_world import BOOK, TRIES_MAX, Service, grant, opening, posted, until_answered
from tests.simulation.runtime.simulated_runtime import Simulation
from tests.simulation.unreliable_store import Faults, Outside

SEEDS = seeds(20)
FAULTY = Faults(lost_request=0.05, lost_answer=0.15, late_append=0.05)
ORDERS = (
    TransferOrder("alice", "@revenue", 60, "buy"),
    TransferOrder("alice", "bob", 60, "gift", id="gift"),
    TransferOrder("alice", "nobody", 1, "gift"),
    TransferOrder("alice", "@revenue", 60, "buy", id="again"),
    TransferOrder("alice", "@revenue", 60, "buy", id="again"),
)


async def sent(
    service: Service, key: str, orders: tuple[TransferOrder, ...] = ORDERS
) -> list[Outcome] | None:
    """What one sending is answered, None when nobody can say."""

    async def ask(ledger: Ledger) -> list[Outcome]:
        return await ledger.transfer_batch(Caller(BOOK, "test", key), orders, atomic=False)

    try:
        return await service.runtime.start(lambda: ask(service.ledger), name="batch").wait()
    except (DependencyUnavailable, Overloaded, TaskCancelled):
        return None


def said(outcomes: list[Outcome]) -> list[str]:
    return [each.reason.value if isinstance(each, Rejected) else "posted" for each in outcomes]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_answer_to_a_keyed_batch_is_the_same_while_the_balance_changes(seed: int) -> None:
    simulation = Simulation(seed)
    outside = Outside(simulation, FAULTY)
    answers: list[list[str]] = []

    async def client(service: Service, sendings: int) -> None:
        for _ in range(TRIES_MAX):
            answer = await sent(service, "batch-1")
            if answer is not None:
                answers.append(said(answer))
                sendings -= 1
                if sendings == 0:
                    return
            await simulation.outside.sleep(simulation.random.uniform(0, 0.05))
        raise AssertionError("no answer came")

    async def world() -> None:
        services = [await Service(outside, f"s{number}").start() for number in range(2)]
        for account in ("alice", "bob"):
            posted(await until_answered(lambda: services[0], opening(account)))
        posted(await until_answered(lambda: services[0], grant("alice", 70, key="g0")))
        tasks = [simulation.outside.launch(partial(client, each, 3), name="client") for each in services]
        for number in range(3):
            await simulation.outside.sleep(simulation.random.uniform(0, 0.1))
            posted(await until_answered(lambda: services[1], grant("alice", 90, key=f"g{number + 1}")))
        for task in tasks:
            await task.wait()
        # Long after, and with all the money there is, it is still what it was.
        await client(services[0], 1)

    simulation.run(world)
    assert len(answers) == 7
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][2] == "account_not_found"
    assert proved(outside.journal).problem is None
    refused = [
        entry
        for document in outside.journal._documents[BOOK]
        for entry in document.entries
        if isinstance(entry, Refused)
    ]
    assert len(refused) == sum(each != "posted" for each in answers[0]), "each stands in the journal once"


def test_the_id_of_a_refused_item_stays_free_for_another_request() -> None:
    simulation = Simulation(1)
    outside = Outside(simulation, Faults())

    async def world() -> None:
        service = await Service(outside, "only").start()
        for account in ("alice", "bob"):
            posted(await until_answered(lambda: service, opening(account)))
        first = await sent(service, "k", ORDERS[1:2])
        assert first is not None
        assert said(first) == ["insufficient_funds"]
        posted(await until_answered(lambda: service, grant("alice", 100, key="g")))
        alone = await service.ask(lambda ledger: ledger.transfer(Caller(BOOK, "test"), ORDERS[1]))
        assert alone is not None
        assert not posted(alone).replayed
        again = await sent(service, "k", ORDERS[1:2])
        assert again is not None
        assert (said(again), again[0].replayed) == (["insufficient_funds"], True)

    simulation.run(world)


def test_an_item_whose_transfer_was_posted_unseen_is_a_repeat_and_never_recorded_as_refused() -> None:
    """Another process posted it, and spent all that there was: this one has not seen that yet."""
    simulation = Simulation(1)
    outside = Outside(simulation, Faults())

    async def world() -> None:
        one, other = [await Service(outside, name).start() for name in ("one", "other")]
        for account in ("alice", "bob"):
            posted(await until_answered(lambda: one, opening(account)))
        posted(await until_answered(lambda: one, grant("alice", 60, key="g")))
        posted_there = await one.ask(lambda ledger: ledger.transfer(Caller(BOOK, "test"), ORDERS[1]))
        assert posted_there is not None
        answer = await sent(other, "k", ORDERS[1:2])
        assert answer is not None
        assert (said(answer), answer[0].replayed) == (["posted"], True)

    simulation.run(world)
    assert isinstance(outside.journal, MemoryJournal)
    assert not any(
        isinstance(entry, Refused)
        for document in outside.journal._documents[BOOK]
        for entry in document.entries
    )
