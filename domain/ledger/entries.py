"""What the journal records: outcomes, never intentions.

Each entry carries the balances that it left behind, so replaying needs no decision, and can
still be checked against one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from domain.ledger.account import Account
from domain.ledger.commands import GrantTerms, subject_of_account


@dataclass(frozen=True, slots=True)
class AccountOpened:
    account: Account
    keys: tuple[str, ...]
    fingerprint: str
    actor: str

    def subjects(self) -> Iterator[str]:
        yield subject_of_account(self.account.id, self.account.asset)
        if self.account.user_id is not None:
            yield f"u:{self.account.user_id}"


@dataclass(frozen=True, slots=True)
class TransferPosted:
    """`source_posted` and `destination_posted` are the balances after it, in minor units."""

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
    grant: GrantTerms | None = None

    def subjects(self) -> Iterator[str]:
        yield subject_of_account(self.source, self.asset)
        yield subject_of_account(self.destination, self.asset)


Entry = AccountOpened | TransferPosted


@dataclass(frozen=True, slots=True)
class Recorded:
    """An entry and where it stands: document `seq`, decided at `time_ms` (Unix epoch, UTC)."""

    entry: Entry
    seq: int
    time_ms: int
