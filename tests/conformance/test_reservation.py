"""Reserving around a piece of work: settled, or voided by itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from adapters.memory.ledger.journal import MemoryCheckpoints, MemoryJournal
from adapters.runtime.system import SystemClock, SystemEntropy
from application.ledger.book_ports import BookPorts
from application.ledger.committed import CommittedBatch
from application.ledger.orders import AccountOrder, Caller, GrantOrder
from application.ledger.reservation import ReservationRefused
from application.ledger.service import Ledger
from domain.ledger.account import AccountState
from domain.ledger.outcomes import Rejection
from ports.runtime import DeadlineExceeded, Runtime
from tests.conformance.runtimes import Driver

WHO = Caller("main", "test")

WithLedger = Callable[[Callable[[Ledger, Runtime], Awaitable[None]]], None]


@pytest.fixture
def ledger_with_100(run_real: Driver) -> WithLedger:
    def run(body: Callable[[Ledger, Runtime], Awaitable[None]]) -> None:
        async def main(runtime: Runtime) -> None:
            async def unheard(_: CommittedBatch) -> None: ...

            ports = BookPorts(runtime, SystemClock(), SystemEntropy(), MemoryJournal(), MemoryCheckpoints())
            ledger = Ledger(ports, accounts_max=10, announce=unheard)
            await ledger.open_account(WHO, AccountOrder("TOKENS", id="alice"))
            await ledger.grant(WHO, GrantOrder("alice", 100, "paid", 50, "grant"))
            await body(ledger, runtime)

        run_real(main)

    return run


async def alice(ledger: Ledger) -> AccountState:
    state = await ledger.account("main", "alice")
    assert state is not None
    return state


def test_what_was_used_is_paid_and_the_rest_released(ledger_with_100: WithLedger) -> None:
    async def body(ledger: Ledger, _: Runtime) -> None:
        async with ledger.reserve(WHO, "alice", up_to=80) as reservation:
            assert (await alice(ledger)).available == 20
            await reservation.settle(30)
        state = await alice(ledger)
        assert (state.posted, state.held) == (70, 0)
        assert reservation.settled == 30

    ledger_with_100(body)


def test_a_reservation_settled_for_nothing_pays_nothing(ledger_with_100: WithLedger) -> None:
    async def body(ledger: Ledger, _: Runtime) -> None:
        async with ledger.reserve(WHO, "alice", up_to=80) as reservation:
            await reservation.settle(0)
        state = await alice(ledger)
        assert (state.posted, state.held) == (100, 0)

    ledger_with_100(body)


def test_a_reservation_left_unsettled_or_by_an_error_is_voided(ledger_with_100: WithLedger) -> None:
    async def body(ledger: Ledger, _: Runtime) -> None:
        async with ledger.reserve(WHO, "alice", up_to=80):
            pass
        with pytest.raises(ZeroDivisionError):
            async with ledger.reserve(WHO, "alice", up_to=80):
                raise ZeroDivisionError
        state = await alice(ledger)
        assert (state.posted, state.held) == (100, 0)

    ledger_with_100(body)


def test_a_cancelled_caller_leaves_no_hold(ledger_with_100: WithLedger) -> None:
    async def body(ledger: Ledger, runtime: Runtime) -> None:
        inside = runtime.event()

        async def work_without_end() -> None:
            async with runtime.deadline(0.05), ledger.reserve(WHO, "alice", up_to=80):
                inside.set()
                await runtime.event().wait()

        with pytest.raises(DeadlineExceeded):
            await work_without_end()
        assert inside.is_set()
        async with runtime.deadline(5):
            # The void goes out after the caller is gone.
            while (await alice(ledger)).held:
                await runtime.sleep(0.001)
        assert (await alice(ledger)).posted == 100

    ledger_with_100(body)


def test_more_than_was_reserved_is_refused_and_nothing_is_paid(ledger_with_100: WithLedger) -> None:
    async def body(ledger: Ledger, _: Runtime) -> None:
        with pytest.raises(ReservationRefused) as refused:
            async with ledger.reserve(WHO, "alice", up_to=80) as reservation:
                await reservation.settle(81)
        assert refused.value.reason is Rejection.AMOUNT_EXCEEDS_HOLD
        state = await alice(ledger)
        assert (state.posted, state.held) == (100, 0)

    ledger_with_100(body)


def test_a_reservation_is_settled_once(ledger_with_100: WithLedger) -> None:
    async def body(ledger: Ledger, _: Runtime) -> None:
        async with ledger.reserve(WHO, "alice", up_to=80) as reservation:
            await reservation.settle(10)
            with pytest.raises(RuntimeError):
                await reservation.settle(10)
        assert (await alice(ledger)).posted == 90

    ledger_with_100(body)


def test_a_reservation_that_cannot_be_had_is_refused(ledger_with_100: WithLedger) -> None:
    async def body(ledger: Ledger, _: Runtime) -> None:
        with pytest.raises(ReservationRefused) as refused:
            async with ledger.reserve(WHO, "alice", up_to=101):
                raise AssertionError("never entered")
        assert refused.value.reason is Rejection.INSUFFICIENT_FUNDS

    ledger_with_100(body)
