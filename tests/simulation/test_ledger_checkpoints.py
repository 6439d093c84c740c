"""Which account states are saved as checkpoints, when, and how much may wait for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest

from adapters.memory.ledger.journal import MemoryCheckpoints, MemoryJournal
from application.ledger import books as books_module
from application.ledger.book_ports import BookPorts
from application.ledger.books import Books
from application.ledger.checkpointer import (
    FLUSH_S_MAX,
    INTERVAL_S,
    ROUNDS_A_SWEEP,
    STATES_A_SAVE_MAX,
    STATES_WAITING_MAX,
    Checkpointer,
)
from domain.ledger.account import Account, AccountState
from domain.ledger.commands import OpenAccount, Submission
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime
from tests.simulation.ledger_world import BOOK
from tests.simulation.runtime.simulated_runtime import SeededEntropy, SimulatedRuntime, Simulation


def run(main: Callable[[SimulatedRuntime], Awaitable[None]]) -> None:
    runtime = SimulatedRuntime(1)

    async def body() -> None:
        async with runtime.running():
            await main(runtime)

    runtime.run(body)


@dataclass
class SlowCheckpoints(MemoryCheckpoints):
    """Each save takes 20 ms, and fails while there is a `failure`."""

    runtime: Runtime
    failure: Exception | None = None
    saves: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    async def save(self, book: str, states: Sequence[AccountState]) -> None:
        await self.runtime.sleep(0.02)
        if self.failure is not None:
            raise self.failure
        self.saves.append(len(states))
        await super().save(book, states)


def test_checkpoints_are_saved_once_an_interval_however_fast_commits_come() -> None:
    account = Account("alice", "GEMS")

    async def main(runtime: SimulatedRuntime) -> None:
        checkpoints = SlowCheckpoints(runtime)
        checkpointer = Checkpointer(BOOK, runtime, checkpoints)
        for seq in range(2_000):
            await checkpointer.add({"alice": AccountState(account, seq, 0, seq + 1)}, urgent=["alice"])
            await runtime.sleep(0.005)
        assert 0 < len(checkpoints.saves) <= 2_000 * 0.005 / INTERVAL_S + 1
        await checkpointer.flush()
        assert (await checkpoints.load(BOOK, ["alice"]))["alice"].seq == 2_000

    run(main)


def states_of(count: int, *, seq: int, name: str = "account") -> dict[str, AccountState]:
    names = [f"{name}-{number:06}" for number in range(count)]
    return {key: AccountState(Account(key, "GEMS"), seq, 0, seq, 1) for key in names}


def test_what_is_urgent_is_saved_in_the_next_round_and_all_else_within_a_sweep() -> None:
    async def main(runtime: SimulatedRuntime) -> None:
        checkpoints = MemoryCheckpoints()
        checkpointer = Checkpointer(BOOK, runtime, checkpoints)
        states = states_of(20 * ROUNDS_A_SWEEP, seq=1)
        last = next(reversed(states))
        await checkpointer.add(states, urgent=[last])
        await runtime.sleep(1.5 * INTERVAL_S)
        saved = await checkpoints.load(BOOK, list(states))
        assert last in saved
        assert len(saved) <= 1 + len(states) // ROUNDS_A_SWEEP, "a round costs the store a small part"
        await runtime.sleep(ROUNDS_A_SWEEP * INTERVAL_S / 2)
        late = states_of(1_000, seq=1, name="late")
        await checkpointer.add(late)
        await runtime.sleep(ROUNDS_A_SWEEP * INTERVAL_S / 2)
        assert len(await checkpoints.load(BOOK, list(states))) == len(states)
        await runtime.sleep(ROUNDS_A_SWEEP * INTERVAL_S / 2)
        assert len(await checkpoints.load(BOOK, list(late))) == len(late)

    run(main)


def test_no_more_states_wait_for_their_checkpoint_than_the_bound_and_urgent_ones_are_kept() -> None:
    async def main(runtime: SimulatedRuntime) -> None:
        checkpoints = MemoryCheckpoints()
        checkpointer = Checkpointer(BOOK, runtime, checkpoints)
        states = states_of(STATES_WAITING_MAX + 500, seq=1)
        first = next(iter(states))
        await checkpointer.add({first: states[first]}, urgent=[first])
        await checkpointer.add(states)
        await checkpointer.flush()
        saved = await checkpoints.load(BOOK, list(states))
        assert first in saved
        assert len(saved) == STATES_WAITING_MAX + 1

    run(main)


def test_a_stop_saves_checkpoints_for_a_bounded_time_only() -> None:
    async def main(runtime: SimulatedRuntime) -> None:
        checkpoints = SlowCheckpoints(runtime)
        checkpointer = Checkpointer(BOOK, runtime, checkpoints)
        await checkpointer.add(states_of(STATES_WAITING_MAX, seq=1))
        began_s = runtime.monotonic()
        await checkpointer.flush()
        assert runtime.monotonic() - began_s < FLUSH_S_MAX + 0.1
        assert checkpoints.saves, "and what fits into it"

    run(main)


def test_a_stop_takes_no_longer_for_many_books_than_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(books_module, "FLUSH_S_MAX", 0.05)
    simulation = Simulation(1)
    runtime = simulation.process("only")
    checkpoints = SlowCheckpoints(runtime)
    entropy = SeededEntropy(simulation.random)
    ports = BookPorts(runtime, simulation.clock(), entropy, MemoryJournal(), checkpoints)

    async def main() -> None:
        async with runtime.running():
            books = Books(ports, accounts_max=10, committed=lambda _: None)
            for number in range(10):
                book = await books.get(f"book-{number}")
                opened = OpenAccount(Account("alice", "GEMS"), ("a:alice",), "", "test")
                await book.submit([Submission((opened,))])
            began_s = runtime.monotonic()
            await books.stop()
            assert runtime.monotonic() - began_s < 0.1
            assert 1 <= len(checkpoints.saves) <= 3

    runtime.run(main)


def test_a_store_that_was_away_gets_the_urgent_checkpoints_when_it_is_back() -> None:
    async def main(runtime: SimulatedRuntime) -> None:
        checkpoints = SlowCheckpoints(runtime)
        checkpointer = Checkpointer(BOOK, runtime, checkpoints)
        states = states_of(1_000, seq=1)
        last = next(reversed(states))
        checkpoints.failure = DependencyUnavailable("mongo", "away")
        await checkpointer.add(states, urgent=[last])
        await runtime.sleep(10 * INTERVAL_S)
        checkpoints.failure = None
        await runtime.sleep(2 * INTERVAL_S)
        assert last in await checkpoints.load(BOOK, [last])

    run(main)


def test_what_is_urgent_is_saved_though_others_fill_the_line_while_a_save_is_under_way() -> None:
    async def main(runtime: SimulatedRuntime) -> None:
        checkpoints = SlowCheckpoints(runtime)
        checkpointer = Checkpointer(BOOK, runtime, checkpoints)
        urgent = states_of(3 * STATES_A_SAVE_MAX, seq=1, name="urgent")
        await checkpointer.add(urgent, urgent=urgent)
        while not checkpoints.saves:
            await runtime.sleep(0.01)
        await checkpointer.add(states_of(STATES_WAITING_MAX, seq=1))
        await runtime.sleep(2 * INTERVAL_S)
        assert len(await checkpoints.load(BOOK, list(urgent))) == len(urgent)

    run(main)


@pytest.mark.parametrize("failure", [DependencyUnavailable("mongo", "away"), ValueError("a fault")])
def test_what_is_urgent_is_saved_later_when_its_save_fails(failure: Exception) -> None:
    account = Account("alice", "GEMS")

    async def main(runtime: SimulatedRuntime) -> None:
        checkpoints = SlowCheckpoints(runtime)
        checkpointer = Checkpointer(BOOK, runtime, checkpoints)
        checkpoints.failure = failure
        await checkpointer.add({"alice": AccountState(account, 1, 1, 1)}, urgent=["alice"])
        await runtime.sleep(INTERVAL_S + 0.01)
        # Its save is under way: what fills the line now is not to push it out.
        await checkpointer.add(states_of(STATES_WAITING_MAX, seq=1))
        await runtime.sleep(0.02)
        checkpoints.failure = None
        await checkpointer.add(states_of(STATES_WAITING_MAX, seq=2))
        await runtime.sleep(2 * INTERVAL_S)
        assert "alice" in await checkpoints.load(BOOK, ["alice"])

    run(main)
