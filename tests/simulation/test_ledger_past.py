"""Balances of a past moment: exact, and folded from the nearest snapshot."""

from __future__ import annotations

import pytest

from application.ledger.checkpointer import INTERVAL_S
from application.ledger.orders import AccountOrder, Caller, GrantOrder, HoldOrder, TransferOrder
from domain.ledger.account import ENTRIES_A_SNAPSHOT, AccountState
from domain.ledger.entries import Entry, TransferPosted
from domain.ledger.machine import effective
from domain.ledger.replay import accounts_of, replay
from tests.simulation.ledger_world import BOOK, Service
from tests.simulation.runtime.simulated_runtime import Simulation
from tests.simulation.unreliable_store import Outside

WHO = Caller(BOOK, "test")


class Life:
    """One account's life: grants that begin and end, holds, spends, some of them dated back."""

    def __init__(self, seed: int) -> None:
        self.simulation = Simulation(seed)
        self.random = self.simulation.random
        self.outside = Outside(self.simulation)
        self.service = Service(self.outside, "only")

    async def live(self, steps: int) -> None:
        await self.service.start()
        await self.service.tick()
        await self._do(lambda: self.service.ledger.open_account(WHO, AccountOrder("GEMS", id="alice")))
        for _ in range(steps):
            await self.simulation.outside.sleep(self.random.uniform(0, 0.02))
            await self._step()
        await self.simulation.outside.sleep(3 * INTERVAL_S)

    async def _step(self) -> None:
        ledger, random = self.service.ledger, self.random
        now_ms, amount = ledger.now_ms(), random.randrange(1, 20)
        past_ms = random.choice([None, None, now_ms - random.randrange(1, 2_000)])
        kind = random.randrange(5)
        if kind < 2:
            begins_ms = random.choice([past_ms, now_ms + random.randrange(1, 500)])
            ends_ms = random.choice([None, now_ms + random.randrange(501, 2_000)])
            grant = GrantOrder("alice", amount * 2, "paid", 50, "grant", "", begins_ms, ends_ms)
            await self._do(lambda: ledger.grant(WHO, grant))
        elif kind == 2:
            hold = HoldOrder("alice", amount, "hold", expires_in_ms=random.randrange(1, 900))
            await self._do(lambda: ledger.hold(WHO, hold))
        else:
            spend = TransferOrder("alice", "@revenue", amount, "spend", effective_ms=past_ms)
            await self._do(lambda: ledger.transfer(WHO, spend))

    async def _do(self, use_case) -> None:  # type: ignore[no-untyped-def]  # whatever it gives
        await self.service.runtime.start(use_case, name="request").wait()

    async def at(self, time_ms: int, *, by_effect: bool) -> tuple[AccountState | None, int]:
        async def read() -> tuple[AccountState | None, int]:
            ledger = self.service.ledger
            state = await ledger.account(BOOK, "alice")
            assert state is not None
            past = await ledger.account_at(BOOK, state, time_ms, by_effect=by_effect)
            return (None, 0) if past is None else (past.state, past.adjusted)

        return await self.service.runtime.start(read, name="read").wait()

    async def told_by_the_journal(self, time_ms: int) -> tuple[AccountState | None, int]:
        """The slow way: the whole journal up to the moment, and what was dated back across it."""
        states: dict[str, AccountState | None] = {"alice": None}
        dated_back = 0
        for document in await self.outside.journal.after(BOOK, 0, limit=1_000_000):
            if document.time_ms <= time_ms:
                states.update(replay(states, document).accounts)
            else:
                dated_back += sum(_dated(entry, time_ms) for entry in document.entries)
        state = states["alice"]
        return (None if state is None else effective(state, time_ms).state), dated_back


def _dated(entry: Entry, time_ms: int) -> int:
    if not isinstance(entry, TransferPosted) or entry.actor == "ledger":
        return 0
    if entry.effective_ms is None or entry.effective_ms > time_ms:
        return 0
    return sum(-entry.amount if out else entry.amount for key, out in accounts_of(entry) if key == "alice")


@pytest.mark.parametrize("seed", range(12))
def test_a_past_balance_is_what_the_whole_journal_up_to_then_says(seed: int) -> None:
    life = Life(seed)

    async def world() -> None:
        began_ms = life.service.ledger.now_ms()
        await life.live(steps=160)
        ended_ms = life.service.ledger.now_ms()
        for _ in range(25):
            moment = life.random.randrange(began_ms - 100, ended_ms + 100)
            expected, dated_back = await life.told_by_the_journal(moment)
            assert await life.at(moment, by_effect=False) == (expected, 0)
            state, adjusted = await life.at(moment, by_effect=True)
            assert (0 if state is None else adjusted) == dated_back
            if expected is not None:
                assert state == expected

    life.simulation.run(world)


def test_a_past_balance_reads_no_more_than_what_lies_after_the_nearest_snapshot() -> None:
    life = Life(1)

    async def world() -> None:
        await life.live(steps=4 * ENTRIES_A_SNAPSHOT)
        looked_at = 0
        journal = life.outside.journal
        of_account = journal.of_account

        async def counted(*args, **kwargs):  # type: ignore[no-untyped-def]  # passes on what it is given
            nonlocal looked_at
            excerpt = await of_account(*args, **kwargs)
            looked_at += len(excerpt.entries)
            return excerpt

        journal.of_account = counted  # type: ignore[method-assign]
        documents = await journal.after(BOOK, 0, limit=1_000_000)
        moment = documents[len(documents) * 3 // 4].time_ms
        expected, _ = await life.told_by_the_journal(moment)
        assert expected is not None
        assert expected.entries > 2 * ENTRIES_A_SNAPSHOT
        assert await life.at(moment, by_effect=False) == (expected, 0)
        assert 0 < looked_at <= ENTRIES_A_SNAPSHOT + 64

    life.simulation.run(world)
