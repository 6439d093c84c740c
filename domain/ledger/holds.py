"""Holds: credits reserved now, and captured, voided or expired once."""

from __future__ import annotations

from domain.ledger.account import HOLDS_MAX, NOTHING
from domain.ledger.commands import CaptureHold, PlaceHold, VoidHold, hold_key
from domain.ledger.entries import Capture, HoldPlaced, TransferPosted
from domain.ledger.lots import first_of, funded
from domain.ledger.outcomes import Outcome, Rejected, Rejection
from domain.ledger.overlay import Overlay, lapse_released, release
from domain.ledger.replay import hold_of
from domain.ledger.subjects import EXPIRED_STATUS, PENDING, VOIDED, HoldState
from domain.ledger.transfers import is_to_another_user, refusal_of, settle_sides


def place_hold(overlay: Overlay, command: PlaceHold) -> Outcome:
    sides = settle_sides(overlay, command.account, command.destination)
    if isinstance(sides, Rejected):
        return sides
    holder, destination = sides
    refused = refusal_of(holder, destination, command.amount)
    if refused is not None:
        return Rejected(refused)
    if len(holder.holdings.holds) >= HOLDS_MAX:
        return Rejected(Rejection.TOO_MANY_LOTS)
    transferable = is_to_another_user(holder, destination)
    return overlay.record(
        HoldPlaced(
            command.id, command.account, holder.account.asset, command.amount, command.destination,
            overlay.time_ms + command.expires_in_ms, command.code, command.keys, command.fingerprint,
            command.actor, command.metadata,
            funded(holder.holdings.lots, command.amount, transferable=transferable),
        )
    )  # fmt: skip


def capture_hold(overlay: Overlay, command: CaptureHold) -> Outcome:
    found = _pending(overlay, command.hold)
    if isinstance(found, Rejection):
        return Rejected(found)
    placed = found.placed
    holder = overlay.settle(placed.account)
    destination = overlay.settle_side(placed.destination, placed.asset)
    if holder is None or destination is None:
        return Rejected(Rejection.ACCOUNT_NOT_FOUND)
    hold = hold_of(holder, placed.id)
    amount = hold.remaining if command.amount is None else command.amount
    if amount > hold.remaining:
        return Rejected(Rejection.AMOUNT_EXCEEDS_HOLD)
    refused = refusal_of(holder._replace(held=holder.held - amount, holdings=NOTHING), destination, amount)
    if refused is not None:
        return Rejected(refused)
    # From here on nothing fails. A hold of which nothing is left has ended, whatever was said.
    final = command.final or amount == hold.remaining
    entry = TransferPosted(
        command.transfer_id, placed.account, placed.destination, amount, placed.asset, placed.code,
        holder.posted - amount, destination.posted + amount, command.keys, command.fingerprint,
        command.actor, placed.metadata, first_of(hold.funding, amount), None,
        Capture(placed.id, found.captured + amount, final),
    )  # fmt: skip
    posted = overlay.move(holder, destination, entry)
    if final:
        lapse_released(overlay, holder.account.key)
    return posted


def void_hold(overlay: Overlay, command: VoidHold) -> Outcome:
    found = _pending(overlay, command.hold)
    if isinstance(found, Rejection):
        return Rejected(found)
    holder = overlay.settle(found.placed.account)
    if holder is None:
        return Rejected(Rejection.ACCOUNT_NOT_FOUND)
    return release(overlay, holder, found.placed.id, VOIDED, command.keys, command.fingerprint, command.actor)


def _pending(overlay: Overlay, hold_id: str) -> HoldState | Rejection:
    """The hold, once what is due in its account is recorded."""
    key = hold_key(hold_id)
    hold = overlay.need(key)
    if not isinstance(hold, HoldState):
        return Rejection.NOT_FOUND
    overlay.settle(hold.placed.account)
    hold = overlay.need(key)
    assert isinstance(hold, HoldState)  # noqa: S101 - what exists does not cease to
    if hold.status == PENDING:
        return hold
    return Rejection.HOLD_EXPIRED if hold.status == EXPIRED_STATUS else Rejection.HOLD_NOT_PENDING
