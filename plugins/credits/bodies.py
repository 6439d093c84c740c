"""Bodies and queries of the credits routes."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

from msgspec import Meta

from application.ledger.orders import RULE_PREFIX
from credit_system import (
    AMOUNT_MAX,
    REVENUE,
    AccountReference,
    Amount,
    AssetCode,
    Body,
    Cursor,
    Identifier,
    ListQuery,
    Metadata,
    Time,
    TransferCode,
    check_metadata,
    cursor_form,
    is_system,
    milliseconds,
    time_ordered_form,
    told_as,
)
from domain.ledger.commands import HOLD_EXPIRES_MS, HOLD_EXPIRES_MS_MAX
from domain.ledger.lots import PRIORITY_DEFAULT

TRANSFERS_A_BATCH_MAX: Final = 8_000
TOP_UPS_A_DAY_MAX: Final = 1_000
FIRST_MS: Final = -62_135_596_800_000
LAST_MS: Final = 253_402_300_799_999
"""The years 1 to 9999, UTC: a time of RFC 3339 with an offset may lie just outside of them."""

Party = Annotated[
    AccountReference,
    told_as(f"An account's id, or `{REVENUE}`", pattern=f"^(?:{REVENUE}|[A-Za-z0-9_.:-]{{1,64}})$"),
]
Overdraft = Annotated[int, Meta(ge=0, le=AMOUNT_MAX, description="How far below zero it may go")]
Category = Annotated[Literal["paid", "promotional"], Meta(title="Category")]
Consistency = Annotated[Literal["strong", "eventual"], Meta(title="Consistency")]
Basis = Annotated[Literal["effective", "recorded"], Meta(title="Basis")]
Priority = Annotated[int, Meta(ge=0, le=255, description="0 burns first")]
HoldSeconds = Annotated[
    int,
    Meta(ge=1, le=HOLD_EXPIRES_MS_MAX // 1_000, description="Seconds until the hold releases by itself"),
]


def moment(time: datetime | None, name: str) -> int | None:
    """The time in milliseconds since 1970. Raises ValueError for one that has no name in UTC."""
    if time is None:
        return None
    at_ms = milliseconds(time)
    if not FIRST_MS <= at_ms <= LAST_MS:
        raise ValueError(f"`{name}` is not within the years 1 to 9999, UTC")
    return at_ms


class NoFields(Body, frozen=True, kw_only=True):
    """Nothing is asked but what the path says: `{}`, or no body at all."""


class AccountBody(Body, frozen=True, kw_only=True):
    asset: AssetCode
    id: Identifier | None = None
    user_id: Identifier | None = None
    overdraft_limit: Overdraft = 0
    low_balance: Annotated[
        Amount | None, Meta(description="Its user is told when less than this becomes available")
    ] = None
    metadata: Metadata | None = None

    def __post_init__(self) -> None:
        check_metadata(self.metadata)


class GrantBody(Body, frozen=True, kw_only=True):
    account: Identifier
    amount: Amount
    category: Category
    priority: Priority = PRIORITY_DEFAULT
    effective_at: Annotated[
        Time | None, Meta(description="Joins the balance then; in the past: dated back to it")
    ] = None
    expires_at: Annotated[
        Time | None, Meta(description="In the future; what is left then goes to `@expired`")
    ] = None
    code: TransferCode = "grant"
    metadata: Metadata | None = None

    def __post_init__(self) -> None:
        check_metadata(self.metadata)
        effective_ms, expires_ms = self.effective_ms, self.expires_ms
        if effective_ms is not None and expires_ms is not None and expires_ms <= effective_ms:
            raise ValueError("`expires_at` must be later than `effective_at`")

    @property
    def effective_ms(self) -> int | None:
        return moment(self.effective_at, "effective_at")

    @property
    def expires_ms(self) -> int | None:
        return moment(self.expires_at, "expires_at")


class TransferOfBatch(Body, frozen=True, kw_only=True):
    source: Party
    amount: Amount
    code: TransferCode
    id: Identifier | None = None
    destination: Party = REVENUE
    metadata: Metadata | None = None
    effective_at: Annotated[
        Time | None, Meta(description="In the past: the balance of that moment counts it too")
    ] = None

    def __post_init__(self) -> None:
        check_metadata(self.metadata)
        _check_sides(self.source, "source", self.destination)
        moment(self.effective_at, "effective_at")

    @property
    def effective_ms(self) -> int | None:
        return moment(self.effective_at, "effective_at")


class TransferBody(TransferOfBatch, frozen=True, kw_only=True):
    dry_run: Annotated[bool, Meta(description="Answer what would come of it, and record nothing")] = False


class BatchBody(Body, frozen=True, kw_only=True):
    transfers: Annotated[list[TransferOfBatch], Meta(min_length=1, max_length=TRANSFERS_A_BATCH_MAX)]
    atomic: bool = False


class ReversalBody(Body, frozen=True, kw_only=True):
    amount: Annotated[Amount | None, Meta(description="All that is left of the transfer, unless said")] = None
    effective_at: Annotated[
        Time | None,
        Meta(description="When it counts from: now, unless said; at the earliest, when the transfer does"),
    ] = None
    metadata: Metadata | None = None

    def __post_init__(self) -> None:
        check_metadata(self.metadata)
        moment(self.effective_at, "effective_at")

    @property
    def effective_ms(self) -> int | None:
        return moment(self.effective_at, "effective_at")


class HoldBody(Body, frozen=True, kw_only=True):
    account: Identifier
    amount: Amount
    code: TransferCode
    destination: Annotated[
        Party, Meta(description=f"Where a capture sends it: an account's id, or `{REVENUE}`")
    ] = REVENUE
    expires_in: HoldSeconds = HOLD_EXPIRES_MS // 1_000
    metadata: Metadata | None = None

    def __post_init__(self) -> None:
        check_metadata(self.metadata)
        _check_sides(self.account, "account", self.destination)


class CaptureBody(Body, frozen=True, kw_only=True):
    amount: Annotated[Amount | None, Meta(description="All that is left of the hold, unless said")] = None
    final: Annotated[bool, Meta(description="Whether the rest is released; else it stays held")] = True


class RuleBody(Body, frozen=True, kw_only=True):
    account: Identifier
    below: Annotated[Amount, Meta(description="What it holds available, as far as it may")]
    amount: Annotated[
        Amount | None, Meta(description="Grants this, as often as it takes to reach `below`; this or `to`")
    ] = None
    to: Annotated[
        Amount | None, Meta(description="Grants what is missing up to this, once; at least `below`")
    ] = None
    category: Category
    max_per_day: Annotated[
        int,
        Meta(
            ge=1, le=TOP_UPS_A_DAY_MAX, description="How often it acts on one UTC day; each `amount` is once"
        ),
    ]

    def __post_init__(self) -> None:
        if (self.amount is None) is (self.to is None):
            raise ValueError("either `amount` or `to` has to be said, and not both")
        if self.to is not None and self.to < self.below:
            raise ValueError("`to` must be at least `below`")


class PastQuery(Body, frozen=True, kw_only=True):
    """What can be asked of a moment in the past."""

    at: Annotated[Time | None, Meta(description="The account as it was then; not in the future")] = None
    basis: Annotated[
        Basis,
        Meta(description="With `at`: whether what was recorded later and dated back to before it counts"),
    ] = "effective"

    def __post_init__(self) -> None:
        moment(self.at, "at")

    @property
    def at_ms(self) -> int | None:
        return moment(self.at, "at")


class AccountQuery(PastQuery, frozen=True, kw_only=True):
    asset: Annotated[
        AssetCode | None, Meta(description="Which of a system account's; plain accounts have one")
    ] = None
    consistency: Annotated[
        Consistency,
        Meta(description="`eventual` may be behind other workers' newest writes, and costs less"),
    ] = "strong"


class OwnAccountsQuery(ListQuery, frozen=True, kw_only=True):
    cursor: Annotated[Cursor, cursor_form("[A-Za-z0-9_.:-]{1,64}")] | None = None


class EntriesQuery(ListQuery, frozen=True, kw_only=True):
    cursor: Annotated[Cursor, cursor_form(r"[0-9]{1,18}\.[0-9]{1,18}")] | None = None
    asset: AssetCode | None = None


class ExplainQuery(PastQuery, frozen=True, kw_only=True):
    asset: AssetCode | None = None
    limit: Annotated[int, Meta(ge=1, le=200, description="How many of the newest transfers to show")] = 20


class RulesQuery(ListQuery, frozen=True, kw_only=True):
    cursor: Annotated[Cursor, cursor_form(time_ordered_form(RULE_PREFIX))] | None = None
    account: Identifier | None = None


def _check_sides(source: str, name: str, destination: str) -> None:
    for side in (source, destination):
        if is_system(side) and side != REVENUE:
            raise ValueError(f"of the system accounts only `{REVENUE}` can be named here")
    if source == destination:
        raise ValueError(f"`{name}` and `destination` are the same account")
