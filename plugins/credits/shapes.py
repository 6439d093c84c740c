"""Answers of the credits routes. Amounts are integers in minor units, times RFC 3339 in UTC."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType


class AccountGrant(msgspec.Struct, frozen=True, kw_only=True):
    """What is left of one live grant."""

    id: str
    remaining: int
    held: int
    priority: int
    category: str
    expires_at: str | None
    code: str
    metadata: msgspec.Raw


class AccountAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """An account's balance: `available = posted - held`. With `?at=` as it was at that moment; where
    transfers were dated back across it, only `posted` can be said, and the others are null."""

    id: str
    asset: str
    user_id: str | None
    posted: int
    held: int | None
    available: int | None
    overdraft_limit: int | None
    grants: Annotated[list[AccountGrant] | None, Meta(description="Live grants, in burn-down order")]
    seq: Annotated[int, Meta(description="The journal document that last touched it")]
    metadata: msgspec.Raw
    low_balance: int | UnsetType = UNSET
    at: str | UnsetType = UNSET
    basis: Literal["effective", "recorded"] | UnsetType = UNSET


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
    recorded_at: str
    effective_at: Annotated[
        str | None, Meta(description="When it counts from, where that is another moment than `recorded_at`")
    ]
    metadata: msgspec.Raw


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
    recorded_at: str
    expires_at: str | None
    metadata: msgspec.Raw


class PlainPart(msgspec.Struct, frozen=True, kw_only=True):
    """What of the account is in no grant: received, or lent by its overdraft. It burns last."""

    posted: int
    held: int
    available: int


class DatedBack(msgspec.Struct, frozen=True, kw_only=True):
    """What was recorded after `as_of` and counts from before it. Nobody could spend it then, so it is in
    `posted` and not in `available`. Without `?at=`, and with `basis=recorded`, there is none."""

    posted: int
    transfers: Annotated[list[EntryAnswer], Meta(description="The newest of them")]


class ExplainedHold(msgspec.Struct, frozen=True, kw_only=True):
    """What a pending hold still reserves: `remaining` is the sum of `funding` and `plain`."""

    id: str
    remaining: int
    funding: list[GrantPart]
    plain: int
    expires_at: str
    code: str
    metadata: msgspec.Raw


class ScheduledGrantAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A grant that is not part of the balance yet."""

    id: str
    amount: int
    priority: int
    category: str
    code: str
    effective_at: str
    expires_at: str | None
    metadata: msgspec.Raw


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
    as_of: str
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
    effective_at: str | None
    expires_at: str | None
    seq: int
    recorded_at: str
    metadata: msgspec.Raw


class TopUpPart(msgspec.Struct, frozen=True, kw_only=True):
    """What a top-up rule does: it grants `amount`, or leaves the account below its level for `skipped`."""

    rule: str
    account: str
    amount: int
    skipped: str | None


class TransferAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer, or whatever else moved credits: `grant`, `rule`, `hold` and `reverses` say which.

    A dry run's `seq` and `recorded_at` are null, and so is its `id` unless the body named one.
    """

    id: str | None
    source: str
    destination: str
    amount: int
    asset: str
    code: str
    seq: int | None
    recorded_at: str | None
    effective_at: Annotated[
        str | None, Meta(description="When it counts from, where that is another moment than `recorded_at`")
    ]
    funding: Annotated[
        list[GrantPart], Meta(description="Which of the source's grants paid; the rest was plain credits")
    ]
    reversed: Annotated[int, Meta(description="How much of it has been reversed")]
    metadata: msgspec.Raw
    dry_run: Annotated[bool, Meta(description="True: nothing was recorded")] | UnsetType = UNSET
    top_ups: (
        Annotated[
            list[TopUpPart], Meta(description="In a dry run: what top-up rules would do before and after it")
        ]
        | UnsetType
    ) = UNSET
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


class BatchResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
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
    expires_at: str
    code: str
    seq: Annotated[int, Meta(description="The journal document that last changed it")]
    metadata: msgspec.Raw
    transfer_id: (
        Annotated[str, Meta(description="In the answer to a capture: the transfer that it posted")]
        | UnsetType
    ) = UNSET


class SkippedTopUp(msgspec.Struct, frozen=True, kw_only=True):
    """A rule left its account below its level: `day_used` (it acted as often as it may on that UTC day),
    `account_full` (of grants) or `balance_overflow`. Other reasons may be added."""

    at: str
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
    recorded_at: str | None


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
