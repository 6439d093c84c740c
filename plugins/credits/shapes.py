"""Answers of the credits routes. Amounts are integers in minor units, times RFC 3339 in UTC."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from credit_system import Moment, StoredMetadata


class AccountGrant(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of one live grant."""

    id: str
    remaining: int
    held: int
    priority: int
    category: str
    expires_at: Moment | None
    code: str
    metadata: StoredMetadata


class AccountShape(msgspec.Struct, frozen=True, kw_only=True):
    """What every answer says of an account."""

    id: str
    asset: str
    user_id: str | None
    posted: int
    held: int | None
    available: int | None
    overdraft_limit: Annotated[int | None, Meta(description="Null for system accounts")]
    grants: Annotated[list[AccountGrant] | None, Meta(description="Live grants, in burn-down order")]
    seq: Annotated[int, Meta(description="The journal document that last touched it")]
    metadata: StoredMetadata
    low_balance: int | UnsetType = UNSET


class AccountAnswer(AccountShape, frozen=True, kw_only=True):
    """An account's balance: `available = posted - held`."""

    held: int
    available: int
    grants: Annotated[list[AccountGrant], Meta(description="Live grants, in burn-down order")]


class PastAccountAnswer(AccountShape, frozen=True, kw_only=True):
    """An account as it was at the moment `at`. Where transfers were dated back across it, only `posted` can
    be said, and `held`, `available` and `grants` are null."""

    at: Moment
    basis: Literal["effective", "recorded"]


class AccountList(msgspec.Struct, frozen=True, kw_only=True):
    items: list[AccountAnswer]
    next_cursor: str | None


class EntryAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """One transfer as the account sees it."""

    transfer_id: str
    amount: Annotated[int, Meta(description="Signed: negative is spent")]
    balance: Annotated[int, Meta(description="`posted`, after it")]
    code: str
    counterparty: str
    seq: int
    recorded_at: Moment
    effective_at: Annotated[
        Moment | None,
        Meta(description="When it counts from, where that is another moment than `recorded_at`"),
    ]
    metadata: StoredMetadata


class EntryList(msgspec.Struct, frozen=True, kw_only=True):
    items: list[EntryAnswer]
    next_cursor: str | None


class GrantPart(msgspec.Struct, frozen=True, kw_only=True):
    grant: str
    amount: int


class ExplainedGrant(msgspec.Struct, frozen=True, kw_only=True):
    """`amount = used + remaining`, and `remaining = held + available`."""

    id: str
    amount: int
    used: Annotated[
        int,
        Meta(description="Spent; of a grant that has ended, also what went when it expired or was voided"),
    ]
    remaining: int
    held: int
    available: int
    status: Literal["active", "expired", "voided"]
    priority: int
    category: str
    code: str
    recorded_at: Moment
    expires_at: Moment | None
    metadata: StoredMetadata


class PlainPart(msgspec.Struct, frozen=True, kw_only=True):
    """What of the account is in no grant: received, or lent by its overdraft. It burns last."""

    posted: int
    held: int
    available: int


class DatedBack(msgspec.Struct, frozen=True, kw_only=True):
    """What was recorded after `as_of` and counts from before it. It could not be spent then, so it is in
    `posted` and not in `available`. Without `?at=`, and with `basis=recorded`, there is none."""

    posted: int
    transfers: Annotated[list[EntryAnswer], Meta(description="The newest of them")]


class ExplainedHold(msgspec.Struct, frozen=True, kw_only=True):
    """What a pending hold still reserves: `remaining` is the sum of `funding` and `plain`."""

    id: str
    remaining: int
    funding: list[GrantPart]
    plain: int
    expires_at: Moment
    code: str
    metadata: StoredMetadata


class ScheduledGrantAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A grant that is not part of the balance yet."""

    id: str
    amount: int
    priority: int
    category: str
    code: str
    effective_at: Moment
    expires_at: Moment | None
    metadata: StoredMetadata


class ExplainAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What makes up a balance, now or, with `?at=`, as of that moment (`as_of`). `posted` is the sum of
    `remaining` over `grants`, `plain.posted` and `dated_back.posted`; `held` the sum of `held` over `grants`
    and `plain.held`, and of `remaining` over `holds`; `available` the sum of `available` over `grants` and
    `plain.available`. `transfers` are the newest by then; what fell due by itself a moment ago counts
    already, and stands among them within seconds."""

    id: str
    asset: str
    user_id: str | None
    posted: int
    held: int
    available: int
    overdraft_limit: int | None
    seq: int
    as_of: Moment
    grants: list[ExplainedGrant]
    plain: PlainPart
    holds: list[ExplainedHold]
    scheduled: list[ScheduledGrantAnswer]
    dated_back: DatedBack
    transfers: list[EntryAnswer]


class GrantAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A grant; one that expires or is voided while holds reserve it keeps their part for them."""

    id: str
    account: str
    asset: str
    amount: int
    remaining: int
    held: int
    status: Literal["pending", "active", "expired", "voided", "spent"]
    category: str
    priority: int
    code: str
    effective_at: Moment | None
    expires_at: Moment | None
    seq: int
    recorded_at: Moment
    metadata: StoredMetadata


class TopUpPart(msgspec.Struct, frozen=True, kw_only=True):
    """What a top-up rule does: it grants `amount`, or leaves the account below its level for `skipped`."""

    rule: str
    account: str
    amount: int
    skipped: str | None


class Movement(msgspec.Struct, frozen=True, kw_only=True):
    """What moved credits, or would: `grant`, `rule`, `hold` and `reverses` say what else it was."""

    id: str | None
    source: str
    destination: str
    amount: int
    asset: str
    code: str
    seq: int | None
    recorded_at: Moment | None
    effective_at: Annotated[
        Moment | None,
        Meta(description="When it counts from, where that is another moment than `recorded_at`"),
    ]
    funding: Annotated[
        list[GrantPart], Meta(description="Which of the source's grants paid; the rest was plain credits")
    ]
    reversed: Annotated[int, Meta(description="How much of it has been reversed")]
    metadata: StoredMetadata
    grant: Annotated[str, Meta(description="The grant that it issued, or ended")] | UnsetType = UNSET
    rule: Annotated[str, Meta(description="The top-up rule that issued the grant")] | UnsetType = UNSET
    hold: Annotated[str, Meta(description="The hold that it captured")] | UnsetType = UNSET
    reverses: Annotated[str, Meta(description="The transfer that it moved back")] | UnsetType = UNSET
    restored: (
        Annotated[list[GrantPart], Meta(description="What went back to the grants that had paid")] | UnsetType
    ) = UNSET
    lapsed: (
        Annotated[
            list[GrantPart],
            Meta(
                description="What grants had paid that have ended since: it came back to the account as"
                " credits without expiry, and to no grant"
            ),
        ]
        | UnsetType
    ) = UNSET


class TransferAnswer(Movement, frozen=True, kw_only=True):
    """A transfer, or whatever else moved credits: `grant`, `rule`, `hold` and `reverses` say which."""

    id: str
    seq: int
    recorded_at: Moment


class DryRunAnswer(Movement, frozen=True, kw_only=True):
    """What would come of a transfer: `seq` and `recorded_at` are null, and so is `id` unless the body named
    one. What was posted already under the same id or key, as it was."""

    dry_run: Annotated[bool, Meta(description="True: nothing was recorded")] = True
    top_ups: Annotated[list[TopUpPart], Meta(description="What top-up rules would do before and after it")]


class BatchResult(msgspec.Struct, frozen=True, kw_only=True):
    id: str | None
    status: Literal["posted", "rejected", "duplicate"]
    code: Annotated[str, Meta(description="Why it was rejected")] | UnsetType = UNSET
    account: Annotated[str, Meta(description="The account that does not exist")] | UnsetType = UNSET


class BatchAnswer(msgspec.Struct, frozen=True, kw_only=True):
    results: list[BatchResult]


class HoldAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A hold. It ends once; what it still reserved then is available again."""

    id: str
    account: str
    asset: str
    destination: str
    amount: int
    captured: Annotated[int, Meta(description="In all so far")]
    status: Literal["pending", "captured", "voided", "expired"]
    expires_at: Moment
    code: str
    seq: Annotated[int, Meta(description="The journal document that last changed it")]
    metadata: StoredMetadata
    transfer_id: (
        Annotated[str, Meta(description="In the answer to a capture: the transfer that it posted")]
        | UnsetType
    ) = UNSET


class SkippedTopUp(msgspec.Struct, frozen=True, kw_only=True):
    """A rule left its account below its level: `day_used` (it acted as often as it may on that UTC day),
    `account_full` (of grants) or `balance_overflow`. Other reasons may be added."""

    at: Moment
    reason: str


class RuleAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A top-up rule. It holds `below` available, by grants of `amount`, several at once as one, or by one
    grant up to `to`; exactly one of the two is set. It acts in the document of what lowered the account."""

    id: str
    account: str
    below: int
    amount: int | None
    to: int | None
    category: str
    max_per_day: int
    last_skipped: SkippedTopUp | None


class RuleList(msgspec.Struct, frozen=True, kw_only=True):
    items: list[RuleAnswer]
    next_cursor: str | None


class HeadAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """The journal's newest document; `seq` 0 is an empty book."""

    book: str
    seq: int
    digest: str
    recorded_at: Moment | None


class ProblemOfBook(msgspec.Struct, frozen=True, kw_only=True):
    """The first thing that is wrong, and the number of the document that it is wrong in."""

    seq: int
    detail: str


class VerificationAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How far the book was found good; `problem` is what was found after it."""

    ok: bool
    head: HeadAnswer
    documents: int
    entries: int
    problem: ProblemOfBook | None
