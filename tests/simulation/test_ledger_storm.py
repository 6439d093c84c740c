"""Everything a ledger does at once, against crashes, lost answers and other writers, replayed from a seed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from application.ledger.orders import AccountOrder, Caller, GrantOrder, HoldOrder, RuleOrder, TransferOrder
from application.ledger.service import Ledger
from domain.ledger.account import AccountState
from domain.ledger.entries import HoldPlaced, TransferPosted
from domain.ledger.lots import NEVER_MS
from domain.ledger.machine import effective
from domain.ledger.outcomes import Outcome, Posted, Rejected
from tests.seeds import seeds
from tests.simulation.ledger_world import BOOK, Service, Told, audit, until_answered
from tests.simulation.runtime.simulated_runtime import Simulation
from tests.simulation.unreliable_store import Faults, Outside

SEEDS = seeds(20)

CALM = Faults()
STORMY = Faults(lost_request=0.06, lost_answer=0.06, late_append=0.06)
EVERYTHING_FELL_DUE_S = 20
"""Longer than any hold or grant of these tests lives, by enough rounds that some get through."""
ACCOUNTS = ("alice", "bob", "carol")

UseCase = Callable[[Ledger], Awaitable[Outcome]]


class Storm:
    """Two processes that crash, and clients that use all of the ledger, each request until answered."""

    def __init__(self, simulation: Simulation, outside: Outside) -> None:
        self.simulation = simulation
        self.outside = outside
        self.random = simulation.random
        self.told = Told()
        self.services: list[Service] = []
        self.requests = 0
        self.holds: list[str] = []
        self.grants: list[str] = []
        self.transfers: list[str] = []

    async def world(self) -> None:
        # A tiny memory, so that accounts are forgotten and loaded again all the time.
        self.services = [await self._service(f"p{number}") for number in range(2)]
        for account in ACCOUNTS:
            order = AccountOrder(
                "GEMS", id=account, user_id=f"u-{account}", overdraft_limit=5 * (account == "bob")
            )
            await self._ask(partial(_open, order=order))
        await self._ask(
            lambda ledger, caller: ledger.set_rule(caller, RuleOrder("carol", 20, 30, "promotional", 2))
        )
        launch = self.simulation.outside.launch
        tasks = [launch(self._client, name="client") for _ in range(4)]
        for generation in range(2):
            await self.simulation.outside.sleep(self.random.uniform(0, 1))
            victim = self.random.randrange(2)
            self.services[victim].crash()
            self.services[victim] = await self._service(f"p{victim}.{generation}")
        for each in tasks:
            await each.wait()
        await self._check()

    async def _service(self, name: str) -> Service:
        service = await Service(self.outside, name, accounts_max=2).start()
        await service.tick()
        return service

    async def _ask(self, use_case: Callable[[Ledger, Caller], Awaitable[Outcome]]) -> Outcome:
        self.requests += 1
        name = f"r{self.requests}"
        caller = Caller(BOOK, "test", name)
        outcome = await until_answered(
            lambda: self.random.choice(self.services), lambda ledger: use_case(ledger, caller)
        )
        if isinstance(outcome, Posted):
            self.told.remember(name, outcome)
        return outcome

    async def _client(self) -> None:
        for _ in range(12):
            await self.simulation.outside.sleep(self.random.uniform(0, 0.3))
            await self.random.choice(
                [
                    self._grant,
                    self._spend,
                    self._hold,
                    self._end_hold,
                    self._end_hold,
                    self._reverse,
                    self._void,
                ]
            )()

    async def _grant(self) -> None:
        now_ms = self.simulation.clock().now_ms()
        begins_ms = self.random.choice([None, now_ms + self.random.randrange(1, 600)])
        ends_ms = self.random.choice([None, now_ms + self.random.randrange(700, 2_000)])
        order = GrantOrder(
            self.random.choice(ACCOUNTS), self.random.randrange(1, 60),
            self.random.choice(["paid", "promotional"]), self.random.randrange(3), "grant", "",
            begins_ms, ends_ms,
        )  # fmt: skip
        outcome = await self._ask(lambda ledger, caller: ledger.grant(caller, order))
        if isinstance(outcome, Posted):
            self.grants.append(outcome.recorded.entry.keys[0].removeprefix("t:"))

    async def _spend(self) -> None:
        source, destination = self.random.sample([*ACCOUNTS, "@revenue"], 2)
        order = TransferOrder(source, destination, self.random.randrange(1, 30), "spend")
        outcome = await self._ask(lambda ledger, caller: ledger.transfer(caller, order))
        if isinstance(outcome, Posted):
            self.transfers.append(_transfer(outcome).id)

    async def _hold(self) -> None:
        order = HoldOrder(
            self.random.choice(ACCOUNTS), self.random.randrange(1, 30), "hold",
            expires_in_ms=self.random.randrange(50, 900),
        )  # fmt: skip
        outcome = await self._ask(lambda ledger, caller: ledger.hold(caller, order))
        if isinstance(outcome, Posted):
            assert isinstance(outcome.recorded.entry, HoldPlaced)
            self.holds.append(outcome.recorded.entry.id)

    async def _end_hold(self) -> None:
        if not self.holds:
            return
        hold = self.random.choice(self.holds)
        if self.random.random() < 0.3:
            await self._ask(lambda ledger, caller: ledger.void_hold(caller, hold))
            return
        amount, final = self.random.choice([None, 1, 5]), self.random.random() < 0.5
        outcome = await self._ask(lambda ledger, caller: ledger.capture(caller, hold, amount, final=final))
        if isinstance(outcome, Posted):
            self.transfers.append(_transfer(outcome).id)

    async def _reverse(self) -> None:
        if self.transfers:
            transfer = self.random.choice(self.transfers)
            amount = self.random.choice([None, 1, 7])
            await self._ask(lambda ledger, caller: ledger.reverse(caller, transfer, amount))

    async def _void(self) -> None:
        if self.grants:
            grant = self.random.choice(self.grants)
            await self._ask(lambda ledger, caller: ledger.void_grant(caller, grant))

    async def _check(self) -> None:
        """What each process says is what follows from the journal, and adds up; what fell due was
        recorded, though nobody asked for it any more."""
        for account, state in (await audit(self.outside, self.told)).items():
            if account in ACCOUNTS:
                adds_up(state, max(service.ledger.now_ms() for service in self.services) + 100)
        await self.simulation.outside.sleep(EVERYTHING_FELL_DUE_S)
        journal = await audit(self.outside, self.told)
        for account in ACCOUNTS:
            assert journal[account].holdings.due_ms == NEVER_MS
            for service in self.services:
                assert await service.state(account) == journal[account]


async def _open(ledger: Ledger, caller: Caller, order: AccountOrder) -> Outcome:
    return await ledger.open_account(caller, order)


async def _end(service: Service, number: int, hold: str) -> Outcome:
    caller = Caller(BOOK, "t", f"e{number}")
    return await until_answered(
        lambda: service,
        lambda ledger: ledger.capture(caller, hold) if number % 2 else ledger.void_hold(caller, hold),
    )


def _transfer(outcome: Posted) -> TransferPosted:
    assert isinstance(outcome.recorded.entry, TransferPosted)
    return outcome.recorded.entry


def adds_up(recorded: AccountState, now_ms: int) -> None:
    """What must hold of an account at any time, however it came there."""
    state = effective(recorded, now_ms).state
    holdings = state.holdings
    assert state.held == sum(hold.remaining for hold in holdings.holds)
    assert state.available >= -(state.account.overdraft_limit or 0)
    assert state.plain_free >= -(state.account.overdraft_limit or 0)
    for lot in holdings.lots:
        reserved = sum(part for hold in holdings.holds for grant, part in hold.funding if grant == lot.grant)
        assert 0 <= lot.held == reserved <= lot.remaining
        assert lot.ended or lot.expires_ms is None or lot.expires_ms > now_ms


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("faults", [CALM, STORMY], ids=["calm", "stormy"])
def test_whatever_fails_what_was_answered_stays_true_and_everything_adds_up(
    faults: Faults, seed: int
) -> None:
    simulation = Simulation(seed)
    simulation.run(Storm(simulation, Outside(simulation, faults)).world)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_hold_is_captured_or_voided_once_however_many_processes_try(seed: int) -> None:
    simulation = Simulation(seed)
    outside = Outside(simulation, Faults(lost_answer=0.1))

    async def world() -> None:
        services = [await Service(outside, f"p{number}").start() for number in range(3)]
        first = services[0]

        async def ask(use_case: UseCase) -> Outcome:
            return await until_answered(lambda: first, use_case)

        opening = AccountOrder("GEMS", id="alice")
        await ask(lambda ledger: ledger.open_account(Caller(BOOK, "t", "o"), opening))
        granting = GrantOrder("alice", 100, "paid", 50, "grant")
        await ask(lambda ledger: ledger.grant(Caller(BOOK, "t", "g"), granting))
        holding = HoldOrder("alice", 40, "hold", expires_in_ms=60_000)
        placed = await ask(lambda ledger: ledger.hold(Caller(BOOK, "t", "h"), holding))
        assert isinstance(placed, Posted)
        hold = placed.recorded.entry.keys[0].removeprefix("h:")
        ends = [
            simulation.outside.launch(partial(_end, service, number, hold), name="end")
            for number, service in enumerate(services * 2)
        ]
        outcomes = [await end.wait() for end in ends]
        assert sum(isinstance(outcome, Posted) for outcome in outcomes) == 1
        reasons = {outcome.reason.value for outcome in outcomes if isinstance(outcome, Rejected)}
        assert reasons == {"hold_not_pending"}
        state = await first.state("alice")
        assert state is not None
        assert state.held == 0
        assert state.posted in (60, 100)

    simulation.run(world)
