"""Reserving credits around a piece of work whose price is known only afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Protocol

from application.ledger.orders import Caller, HoldOrder
from domain.ledger.entries import HoldPlaced
from domain.ledger.outcomes import Outcome, Rejected, Rejection
from ports.errors import DependencyUnavailable
from ports.runtime import Overloaded, Runtime

VOID_TRIES_MAX = 5
VOID_PAUSE_S = 0.2


class ReservationRefused(Exception):
    """The ledger refused what the reservation needed; `reason` says why."""

    def __init__(self, reason: Rejection) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Holding(Protocol):
    """What a reservation asks of the ledger."""

    async def hold(self, caller: Caller, order: HoldOrder) -> Outcome: ...

    async def capture(
        self, caller: Caller, hold_id: str, amount: int | None = None, *, final: bool = True
    ) -> Outcome: ...

    async def void_hold(self, caller: Caller, hold_id: str) -> Outcome: ...


class Reservation:
    """Up to `up_to` minor units, until it is settled or the block is left."""

    def __init__(self, ledger: Holding, runtime: Runtime, caller: Caller, placed: HoldPlaced) -> None:
        self._ledger = ledger
        self._runtime = runtime
        self._caller = Caller(caller.book, caller.actor)
        self.id = placed.id
        self.up_to = placed.amount
        self.settled: int | None = None
        """What was paid in the end; None until then."""

    async def settle(self, amount: int) -> None:
        """Pays what was really used and releases the rest; 0 pays nothing. Once only.

        Raises `ReservationRefused` (more than was reserved, or the hold expired meanwhile), and then nothing
        was paid. Runs to its end even when the caller is cancelled.
        """
        if self.settled is not None:
            raise RuntimeError("this reservation was settled already")

        async def pay() -> None:
            if amount == 0:
                outcome = await self._ledger.void_hold(self._caller, self.id)
            else:
                outcome = await self._ledger.capture(self._caller, self.id, amount)
            if isinstance(outcome, Rejected):
                raise ReservationRefused(outcome.reason)
            self.settled = amount

        await self._runtime.shielded(pay, name="settle a reservation")

    async def void(self) -> None:
        """Releases all of it. When the ledger is away for long, the hold's own expiry does."""
        for _ in range(VOID_TRIES_MAX):
            try:
                await self._ledger.void_hold(self._caller, self.id)
            except (DependencyUnavailable, Overloaded):
                await self._runtime.sleep(VOID_PAUSE_S)
            else:
                return


@asynccontextmanager
async def reserved(
    ledger: Holding, runtime: Runtime, caller: Caller, order: HoldOrder
) -> AsyncIterator[Reservation]:
    """A hold that cannot be forgotten: left unsettled, by an error or a cancellation too, it is voided."""
    reservation: Reservation | None = None
    left = False

    async def place() -> Reservation:
        nonlocal reservation
        outcome = await ledger.hold(caller, order)
        if isinstance(outcome, Rejected):
            raise ReservationRefused(outcome.reason)
        placed = outcome.recorded.entry
        assert isinstance(placed, HoldPlaced)  # noqa: S101 - a hold's key leads to holds only
        reservation = Reservation(ledger, runtime, caller, placed)
        if left:
            # The caller was cancelled before the hold was there, and will not void it.
            await reservation.void()
        return reservation

    try:
        yield await runtime.shielded(place, name="place a reservation")
    finally:
        left = True
        if reservation is not None and reservation.settled is None:
            await runtime.shielded(reservation.void, name="void a reservation")
