"""Bodies, queries and answers of the credits routes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from adapters.web import (
    AccountReference,
    Amount,
    AssetCode,
    Body,
    Identifier,
    ListQuery,
    Metadata,
    TransferCode,
    check_metadata,
)
from domain.ledger.account import AMOUNT_MAX, REVENUE, is_system

TRANSFERS_A_BATCH_MAX = 8_000

Overdraft = Annotated[int, Meta(ge=0, le=AMOUNT_MAX, description="How far below zero it may go")]


class AccountBody(Body, frozen=True, kw_only=True):
    asset: AssetCode
    id: Identifier | None = None
    user_id: Identifier | None = None
    overdraft_limit: Overdraft = 0
    metadata: Metadata | None = None

    def __post_init__(self) -> None:
        check_metadata(self.metadata)


class GrantBody(Body, frozen=True, kw_only=True):
    account: Identifier
    amount: Amount
    category: Literal["paid", "promotional"]
    priority: Annotated[int, Meta(ge=0, le=255, description="0 burns first")] = 50
    code: TransferCode = "grant"
    metadata: Metadata | None = None

    def __post_init__(self) -> None:
        check_metadata(self.metadata)


class TransferBody(Body, frozen=True, kw_only=True):
    source: AccountReference
    amount: Amount
    code: TransferCode
    id: Identifier | None = None
    destination: AccountReference = REVENUE
    metadata: Metadata | None = None

    def __post_init__(self) -> None:
        check_metadata(self.metadata)
        for side in (self.source, self.destination):
            if is_system(side) and side != REVENUE:
                raise ValueError(f"of the system accounts only `{REVENUE}` can be named in a transfer")
        if self.source == self.destination:
            raise ValueError("`source` and `destination` are the same account")


class BatchBody(Body, frozen=True, kw_only=True):
    transfers: Annotated[list[TransferBody], Meta(min_length=1, max_length=TRANSFERS_A_BATCH_MAX)]
    atomic: bool = False


class AccountQuery(Body, frozen=True, kw_only=True):
    asset: AssetCode | None = None
    """Which one of a system account's; plain accounts have one asset and need not say it."""
    consistency: Literal["strong", "eventual"] = "strong"
    """`eventual` may be behind other workers' newest writes, and spares a look at the journal."""


class EntriesQuery(ListQuery, frozen=True, kw_only=True):
    asset: AssetCode | None = None


class AccountAnswer(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    asset: str
    user_id: str | None
    posted: int
    held: int
    available: int
    overdraft_limit: int | None
    grants: list[dict[str, Any]]
    seq: int
    metadata: msgspec.Raw


class AccountList(msgspec.Struct, frozen=True, kw_only=True):
    items: list[AccountAnswer]
    next_cursor: str | None


class EntryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    transfer_id: str
    amount: int
    balance: int
    code: str
    counterparty: str
    seq: int
    recorded_at: str
    metadata: msgspec.Raw


class EntryList(msgspec.Struct, frozen=True, kw_only=True):
    items: list[EntryAnswer]
    next_cursor: str | None


class GrantAnswer(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    account: str
    asset: str
    amount: int
    remaining: int
    held: int
    status: str
    category: str
    priority: int
    code: str
    expires_at: str | None
    seq: int
    recorded_at: str
    metadata: msgspec.Raw


class TransferAnswer(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    source: str
    destination: str
    amount: int
    asset: str
    code: str
    seq: int
    recorded_at: str
    metadata: msgspec.Raw


class BatchResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    id: str | None
    status: Literal["posted", "rejected", "duplicate"]
    code: str | None = None


class BatchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    results: list[BatchResult]


class HeadAnswer(msgspec.Struct, frozen=True, kw_only=True):
    book: str
    seq: int
    digest: str
    recorded_at: str | None
