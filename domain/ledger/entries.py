"""What the journal records: outcomes, never intentions.

Each entry carries what it left behind, so that replaying needs no decision and can still be checked
against one. `effective_ms` is set where something counts from another moment than it was recorded at.
Every entry has a key: the store's unique index takes an entry without one for the same as another.

Fields that several classes have stand in each: a named tuple inherits none, and their order is part of the
hash chain.
"""

from __future__ import annotations

from typing import NamedTuple

from domain.ledger.account import Account
from domain.ledger.lots import Funding, GrantTerms, Lot


class AccountOpened(NamedTuple):
    account: Account
    keys: tuple[str, ...]
    fingerprint: str
    actor: str


class Issue(NamedTuple):
    """Why credits came from `@issuance`: a grant, by a top-up `rule` where one is named, which acted `uses`
    times at once for it."""

    grant: str
    terms: GrantTerms
    rule: str = ""
    uses: int = 1


class Lapse(NamedTuple):
    """Why a grant's credits left: it was `expired` or `voided`; its holds keep `held` of it."""

    grant: str
    status: str
    held: int


class Capture(NamedTuple):
    """What a hold was captured for: `captured` in all so far. A `final` one released the rest."""

    hold: str
    captured: int
    final: bool


class Reversal(NamedTuple):
    """What a transfer was moved back for.

    `restored` went to grants that live; `revived` are the lots of those of which nothing had been
    left. `lapsed` would have gone to grants that have ended, and became plain credits of the account.
    """

    of: str
    restored: Funding
    revived: tuple[Lot, ...]
    lapsed: Funding


Cause = Issue | Lapse | Capture | Reversal


class TransferPosted(NamedTuple):
    """Money moved. `source_posted` and `destination_posted` are the balances after it, in minor units;
    `funding` is what of it the source's grants paid."""

    id: str
    source: str
    destination: str
    amount: int
    asset: str
    code: str
    source_posted: int
    destination_posted: int
    keys: tuple[str, ...]
    fingerprint: str
    actor: str
    metadata: str = ""
    funding: Funding = ()
    effective_ms: int | None = None
    cause: Cause | None = None

    @property
    def is_backdated(self) -> bool:
        """Whether its caller said when it counts from; what fell due by itself was due all along."""
        cause = self.cause
        if self.effective_ms is None or isinstance(cause, Lapse):
            return False
        return not (isinstance(cause, Issue) and self.id != cause.grant)


class GrantScheduled(NamedTuple):
    """A grant whose credits come later."""

    id: str
    account: str
    asset: str
    amount: int
    terms: GrantTerms
    code: str
    keys: tuple[str, ...]
    fingerprint: str
    actor: str
    metadata: str = ""


class GrantEnded(NamedTuple):
    """A grant ended without moving anything: it was scheduled, or holds had reserved all of it (`held`)."""

    grant: str
    account: str
    asset: str
    status: str
    held: int
    keys: tuple[str, ...]
    fingerprint: str
    actor: str
    effective_ms: int | None = None


class HoldPlaced(NamedTuple):
    """`funding` is what of it the account's grants reserved."""

    id: str
    account: str
    asset: str
    amount: int
    destination: str
    expires_ms: int
    code: str
    keys: tuple[str, ...]
    fingerprint: str
    actor: str
    metadata: str = ""
    funding: Funding = ()


class HoldReleased(NamedTuple):
    """A hold ended with `amount` of it left: `voided` or `expired`."""

    hold: str
    account: str
    asset: str
    amount: int
    status: str
    keys: tuple[str, ...]
    fingerprint: str
    actor: str
    effective_ms: int | None = None


class RuleSet(NamedTuple):
    """A top-up rule stands from here on."""

    id: str
    account: str
    asset: str
    below: int
    amount: int
    category: str
    max_per_day: int
    keys: tuple[str, ...]
    fingerprint: str
    actor: str
    to: int | None = None


class RuleRemoved(NamedTuple):
    id: str
    account: str
    asset: str
    keys: tuple[str, ...]
    fingerprint: str
    actor: str


class RuleSkipped(NamedTuple):
    """A top-up rule left its account below its level, and why: `day_used`, `account_full` or
    `balance_overflow`. Recorded when that is another reason, or another UTC day, than the last time."""

    rule: str
    account: str
    asset: str
    reason: str
    keys: tuple[str, ...]
    fingerprint: str
    actor: str


class Refused(NamedTuple):
    """An item of a keyed batch was refused. Nothing moved: it stands here so that a repeat of the batch gets
    the same answer. `id` is the transfer's that was not posted; another request may post it yet."""

    id: str
    reason: str
    about: str
    keys: tuple[str, ...]
    fingerprint: str
    actor: str


Entry = (
    TransferPosted
    | AccountOpened
    | GrantScheduled
    | GrantEnded
    | HoldPlaced
    | HoldReleased
    | RuleSet
    | RuleRemoved
    | RuleSkipped
    | Refused
)
"""What one item of a journal document records."""


class Recorded(NamedTuple):
    """An entry and where it stands: document `seq`, decided at `time_ms` (Unix epoch, UTC)."""

    entry: Entry
    seq: int
    time_ms: int
