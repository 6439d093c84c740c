"""Lots: what is left of each grant in an account, and the order in which it burns down.

An account's credits are its lots and one plain part: what it received, or was lent by its overdraft.
The plain part burns last, does not expire, and is what `posted` holds beyond the lots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

PROMOTIONAL: Final = "promotional"
PAID: Final = "paid"
PRIORITY_DEFAULT: Final = 50
"""Of a grant, unless said."""

NEVER_MS: Final = 2**63 - 1
"""Later than every moment that can be named: what an expiry that does not come is sorted as."""

Funding = tuple[tuple[str, int], ...]
"""Which grants pay, in burn-down order, each with its part; what they do not pay is plain."""


class GrantTerms(NamedTuple):
    """What a grant's credits are: priority 0 burns first. Times in milliseconds since 1970, UTC.

    A grant that is not there yet starts at `effective_ms`; one that was dated back says so there.
    """

    category: str
    priority: int
    effective_ms: int | None = None
    expires_ms: int | None = None


class Lot(NamedTuple):
    """What is left of one grant: `remaining` minor units, of which holds have reserved `held`.

    `seq` and `place` say where its credits were issued: the older burns first. `ended` is why nobody
    but the holds that reserved it may spend it: `expired`, `voided`, or empty while it lives.
    """

    grant: str
    remaining: int
    held: int
    priority: int
    category: str
    expires_ms: int | None
    seq: int
    place: int
    ended: str = ""

    @property
    def free(self) -> int:
        """Minor units that no hold has reserved; 0 once the lot has ended."""
        return 0 if self.ended else self.remaining - self.held

    @property
    def burn_order(self) -> tuple[int, int, int, int]:
        """Sorts lots as they are spent: priority, expiry, age."""
        expires_ms = NEVER_MS if self.expires_ms is None else self.expires_ms
        return self.priority, expires_ms, self.seq, self.place


def inserted(lots: Sequence[Lot], lot: Lot) -> tuple[Lot, ...]:
    """With one more lot, in burn-down order."""
    return tuple(sorted((*lots, lot), key=lambda each: each.burn_order))


def funded(lots: Sequence[Lot], amount: int, *, transferable: bool = False) -> Funding:
    """What of `amount` the lots pay, in burn-down order; promotional ones do not if it must be
    `transferable`."""
    if lots:
        # The usual case, on the path of every spend: the first lot pays it all.
        grant, left, reserved, _, category, _, _, _, ended = lots[0]
        if 0 < amount <= left - reserved and not ended and not (transferable and category == PROMOTIONAL):
            return ((grant, amount),)
    funding: list[tuple[str, int]] = []
    for lot in lots:
        if amount == 0:
            break
        if lot.ended or (transferable and lot.category == PROMOTIONAL):
            continue
        part = min(lot.remaining - lot.held, amount)
        if part:
            funding.append((lot.grant, part))
            amount -= part
    return tuple(funding)


def free_of(lots: Sequence[Lot], *, category: str | None = None) -> int:
    """Minor units in the lots that no hold has reserved, of one category or of all."""
    return sum(lot.free for lot in lots if category is None or lot.category == category)


def moved(lots: Sequence[Lot], funding: Funding, *, remaining: int = 0, held: int = 0) -> tuple[Lot, ...]:
    """The lots after each part of `funding` was added so many times to what remains and what is held.

    Burning is `remaining=-1`, reserving `held=1`, capturing both -1. A lot of which nothing is left
    is gone.
    """
    parts = dict(funding)
    after: list[Lot] = []
    for lot in lots:
        part = parts.get(lot.grant, 0)
        if not part:
            after.append(lot)
            continue
        grant, left, reserved, priority, category, expires_ms, seq, place, ended = lot
        left += remaining * part
        if left:
            reserved += held * part
            after.append(Lot(grant, left, reserved, priority, category, expires_ms, seq, place, ended))
    return tuple(after)


def burnt(lots: Sequence[Lot], funding: Funding) -> tuple[Lot, ...]:
    """The lots after what `funding` says was spent of them."""
    if lots and len(funding) == 1:
        # The usual case again: no lot ends, and what falls due is what did before.
        ((paid, part),) = funding
        grant, left, reserved, priority, category, expires_ms, seq, place, ended = lots[0]
        if paid == grant and left > part:
            first = Lot(grant, left - part, reserved, priority, category, expires_ms, seq, place, ended)
            return (first, *lots[1:])
    return moved(lots, funding, remaining=-1)


def total(funding: Funding) -> int:
    return sum(part for _, part in funding)


def first_of(funding: Funding, amount: int) -> Funding:
    """The parts that pay the first `amount` of what `funding` pays, in its order."""
    taken: list[tuple[str, int]] = []
    for grant, part in funding:
        if amount == 0:
            break
        taken.append((grant, min(part, amount)))
        amount -= taken[-1][1]
    return tuple(taken)


def without(funding: Funding, taken: Funding) -> Funding:
    """What of `funding` is left after `taken`, in the same order."""
    parts = dict(taken)
    left = ((grant, part - parts.get(grant, 0)) for grant, part in funding)
    return tuple((grant, part) for grant, part in left if part)
