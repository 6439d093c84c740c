"""What may be asked of a ledger. Commands arrive validated: their fields are well-formed.

`keys` make a command idempotent: the journal takes each key once. `fingerprint` tells a repeat
from another command under the same key; it covers what the client sent, not what the server added.
`repeatable`: the client chose one of the keys, so it may be sending this command again.
"""

from __future__ import annotations

from dataclasses import dataclass

from domain.ledger.account import AMOUNT_MAX, Account, account_key, is_system


@dataclass(frozen=True, slots=True)
class OpenAccount:
    account: Account
    keys: tuple[str, ...]
    fingerprint: str
    actor: str
    repeatable: bool = False

    def __post_init__(self) -> None:
        if is_system(self.account.id):
            raise ValueError("system accounts are not opened")

    @property
    def account_keys(self) -> tuple[str, ...]:
        return (self.account.key,)


@dataclass(frozen=True, slots=True)
class GrantTerms:
    """What a grant's credits are: `category` is `paid` or `promotional`, priority 0 burns first."""

    category: str
    priority: int


@dataclass(frozen=True, slots=True)
class PostTransfer:
    """Moves `amount` minor units. At most one side is a system account; its asset is the other's.

    With `grant` it is the issue of new credits, and its source is `@issuance`.
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
    grant: GrantTerms | None = None
    repeatable: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.amount <= AMOUNT_MAX:
            raise ValueError("amount out of range")
        if self.source == self.destination:
            raise ValueError("source and destination are the same account")
        if is_system(self.source) and is_system(self.destination):
            raise ValueError("one side must be an account with an asset")

    @property
    def account_keys(self) -> tuple[str, ...]:
        """Plain accounts this command names; the system side follows from their asset."""
        return tuple(side for side in (self.source, self.destination) if not is_system(side))


Command = OpenAccount | PostTransfer


@dataclass(frozen=True, slots=True)
class Submission:
    """What one caller asks for at once; an atomic one posts all of it or nothing."""

    commands: tuple[Command, ...]
    atomic: bool = False


def transfer_key(transfer_id: str) -> str:
    return f"t:{transfer_id}"


def opening_key(account_id: str) -> str:
    return f"a:{account_id}"


def subject_of_account(account_id: str, asset: str) -> str:
    return f"a:{account_key(account_id, asset)}"
