"""What may be asked of a ledger. Commands arrive validated: their fields are well-formed.

`keys` make a command idempotent: the journal takes each key once. `fingerprint` tells a repeat
from another command under the same key; it covers what the client sent, not what the server added.
`repeatable`: the client chose one of the keys, so it may be sending this command again.

Fields that several classes have stand in each: a named tuple inherits none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

from domain.ledger.account import Account
from domain.ledger.lots import GrantTerms

HOLD_EXPIRES_MS_MAX: Final = 366 * 24 * 3_600_000
"""Longest life of a hold, in milliseconds."""
HOLD_EXPIRES_MS: Final = 600_000
"""A hold's life unless said, in milliseconds."""
LEDGER: Final = "ledger"
"""The actor of entries that no caller asked for: they fell due."""
TRANSFER_PREFIX: Final = "tr"
"""How the ids of transfers begin that the ledger makes."""

Sent = str | int | None
"""A field as the client sent it."""


class OpenAccount(NamedTuple):
    account: Account
    keys: tuple[str, ...]
    fingerprint: str
    actor: str
    repeatable: bool = False


class PostTransfer(NamedTuple):
    """Moves `amount` minor units. At most one side is a system account; its asset is the other's.

    `effective_ms` dates it back; it changes nothing about what can be spent. A refusal of it is recorded
    under `refusal_keys`, if it has any, so that a repeat is refused again.
    """

    id: str
    source: str
    destination: str
    amount: int
    code: str
    keys: tuple[str, ...]
    fingerprint: str
    actor: str
    metadata: str = ""
    effective_ms: int | None = None
    repeatable: bool = False
    refusal_keys: tuple[str, ...] = ()


class IssueGrant(NamedTuple):
    """New credits from `@issuance`: at once, or scheduled if its terms begin later."""

    id: str
    account: str
    amount: int
    terms: GrantTerms
    code: str
    keys: tuple[str, ...]
    fingerprint: str
    actor: str
    metadata: str = ""
    repeatable: bool = False


class VoidGrant(NamedTuple):
    """Takes back what no hold has reserved; the holds may still spend theirs."""

    grant: str
    transfer_id: str
    keys: tuple[str, ...]
    fingerprint: str
    actor: str
    repeatable: bool = False


class ReverseTransfer(NamedTuple):
    """Moves back `amount` of the transfer `of`, or all that is left of it (None).

    `effective_ms` dates it back, to the moment that the transfer counts from at the earliest.
    """

    id: str
    of: str
    amount: int | None
    keys: tuple[str, ...]
    fingerprint: str
    actor: str
    metadata: str = ""
    repeatable: bool = False
    effective_ms: int | None = None


class PlaceHold(NamedTuple):
    """Reserves `amount` for `expires_in_ms`, to be captured to `destination`."""

    id: str
    account: str
    amount: int
    destination: str
    expires_in_ms: int
    code: str
    keys: tuple[str, ...]
    fingerprint: str
    actor: str
    metadata: str = ""
    repeatable: bool = False


class CaptureHold(NamedTuple):
    """Moves `amount` of a hold, or all that is left of it (None); a `final` capture releases the rest."""

    hold: str
    transfer_id: str
    amount: int | None
    final: bool
    keys: tuple[str, ...]
    fingerprint: str
    actor: str
    repeatable: bool = False


class VoidHold(NamedTuple):
    """Releases what is left of a hold."""

    hold: str
    keys: tuple[str, ...]
    fingerprint: str
    actor: str
    repeatable: bool = False


class SetRule(NamedTuple):
    """A top-up rule for an account; `amount` is 0 where `to` is set. See `account.TopUpRule`."""

    id: str
    account: str
    below: int
    amount: int
    category: str
    max_per_day: int
    keys: tuple[str, ...]
    fingerprint: str
    actor: str
    repeatable: bool = False
    to: int | None = None


class RemoveRule(NamedTuple):
    id: str
    account: str
    keys: tuple[str, ...]
    fingerprint: str
    actor: str
    repeatable: bool = False


class SettleDue(NamedTuple):
    """Records what has fallen due in an account that no other command is about."""

    account: str
    keys: tuple[str, ...] = ()
    fingerprint: str = ""
    actor: str = LEDGER
    repeatable: bool = False


Command = (
    OpenAccount
    | PostTransfer
    | IssueGrant
    | VoidGrant
    | ReverseTransfer
    | PlaceHold
    | CaptureHold
    | VoidHold
    | SetRule
    | RemoveRule
    | SettleDue
)


class Submission(NamedTuple):
    """What one caller asks for at once; an atomic one posts all of it or nothing."""

    commands: tuple[Command, ...]
    atomic: bool = False


def fingerprint(kind: str, fields: Sequence[Sent]) -> str:
    """32 hexadecimal digits that tell a repeat from another command; `fields` is what the client sent.

    No field holds a control character (ids and codes have none, JSON escapes them), so no two lists of
    fields are joined to the same text.
    """
    text = "\x1f".join([kind, *["\0" if field is None else str(field) for field in fields]])
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def fingerprint_of_capture(hold_id: str, amount: int | None, *, final: bool) -> str:
    return fingerprint("capture", [hold_id, amount, int(final)])


def transfer_key(transfer_id: str) -> str:
    return f"t:{transfer_id}"


def opening_key(account_id: str) -> str:
    return f"a:{account_id}"


def grant_key(grant_id: str) -> str:
    return f"g:{grant_id}"


def hold_key(hold_id: str) -> str:
    return f"h:{hold_id}"


def rule_key(rule_id: str) -> str:
    return f"r:{rule_id}"


def ending_key(grant_id: str) -> str:
    """Under which the end of a grant is recorded that moves nothing."""
    return f"e:{grant_id}"
