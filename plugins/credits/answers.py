"""From the ledger's values to HTTP's, and back."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

import msgspec
from msgspec import UNSET, UnsetType
from msgspec.structs import asdict, replace

from application.ledger.history import EntryPosition
from application.ledger.labels import Label
from credit_system import (
    Account,
    AccountEntry,
    AccountOpened,
    AccountState,
    Answer,
    Capture,
    GrantEnded,
    GrantScheduled,
    GrantView,
    HoldPlaced,
    HoldReleased,
    Issue,
    Lapse,
    PastState,
    Posted,
    Problem,
    Recorded,
    Rejected,
    Reversal,
    TransferPosted,
    Trial,
    rfc3339,
)
from domain.ledger.account import TopUpRule
from domain.ledger.lots import Funding
from domain.ledger.subjects import CAPTURED, PENDING, VOIDED, GrantState, HoldState, TransferState
from plugins.credits.shapes import (
    AccountAnswer,
    AccountGrant,
    BatchAnswer,
    BatchResult,
    DryRunAnswer,
    EntryAnswer,
    GrantAnswer,
    GrantPart,
    HoldAnswer,
    PastAccountAnswer,
    RuleAnswer,
    SkippedTopUp,
    TopUpPart,
    TransferAnswer,
)

DIGITS_MAX: Final = 18
"""Of a number in a cursor: no store has to be asked for one past 64 bits."""
REPLAYED: Final = (("Idempotent-Replayed", "true"),)
NO_LABELS: Final[Mapping[str, Label]] = MappingProxyType({})
"""Of an account without grants."""
_NO_METADATA: Final = msgspec.Raw(b"{}")

GrantStatus = Literal["pending", "active", "expired", "voided", "spent"]
HoldStatus = Literal["pending", "captured", "voided", "expired"]


def metadata_text(metadata: dict[str, Any] | None) -> str:
    """Canonical: the order of members makes no other command."""
    return msgspec.json.encode(metadata, order="deterministic").decode() if metadata else ""


def answered(status: int, body: msgspec.Struct, posted: Posted) -> Answer:
    """The first answer; a repeat says that it is one."""
    return Answer(status, body, REPLAYED if posted.replayed else ())


def time_or_none(at_ms: int | None) -> str | None:
    return None if at_ms is None else rfc3339(at_ms)


# --- accounts


def account_answer(state: AccountState, labels: Mapping[str, Label] = NO_LABELS) -> AccountAnswer:
    """`labels` has those of the account's live grants, by id."""
    account = state.account
    return AccountAnswer(
        id=account.id,
        asset=account.asset,
        user_id=account.user_id,
        posted=state.posted,
        held=state.held,
        available=state.available,
        overdraft_limit=account.overdraft_limit,
        grants=[
            AccountGrant(
                id=lot.grant,
                remaining=lot.remaining,
                held=lot.held,
                priority=lot.priority,
                category=lot.category,
                expires_at=time_or_none(lot.expires_ms),
                code=labels[lot.grant].code,
                metadata=metadata_of(labels[lot.grant].metadata),
            )
            for lot in state.holdings.lots
            if not lot.ended
        ],
        seq=state.seq,
        metadata=metadata_of(account.metadata),
        low_balance=UNSET if account.low_balance is None else account.low_balance,
    )


def live_grants(state: AccountState) -> list[str]:
    """Ids of the grants that an answer about the account shows."""
    return [lot.grant for lot in state.holdings.lots if not lot.ended]


def past_answer(
    past: PastState,
    at_ms: int,
    basis: Literal["effective", "recorded"],
    labels: Mapping[str, Label],
) -> PastAccountAnswer:
    """What could be spent then knew nothing of what was dated back later: so that much is not said."""
    state = asdict(account_answer(past.state, labels))
    answer = PastAccountAnswer(**state, at=rfc3339(at_ms), basis=basis)
    if past.adjusted == 0:
        return answer
    return replace(answer, posted=past.state.posted + past.adjusted, held=None, available=None, grants=None)


def opening_answer(recorded: Recorded) -> AccountAnswer:
    """The account as it was when it was opened."""
    return account_answer(AccountState(opened_account(recorded), 0, 0, recorded.seq))


def opened_account(recorded: Recorded) -> Account:
    entry = recorded.entry
    assert isinstance(entry, AccountOpened)  # noqa: S101 - an opening's keys lead to openings only
    return entry.account


def entry_answer(entry: AccountEntry) -> EntryAnswer:
    return EntryAnswer(
        transfer_id=entry.transfer.id,
        amount=entry.amount,
        balance=entry.balance,
        code=entry.transfer.code,
        counterparty=entry.counterparty,
        seq=entry.position.seq,
        recorded_at=rfc3339(entry.recorded_ms),
        effective_at=time_or_none(entry.transfer.effective_ms),
        metadata=metadata_of(entry.transfer.metadata),
    )


# --- grants


def issued_answer(recorded: Recorded) -> GrantAnswer:
    """The grant as it was given: all of it is left, and it has begun or is still to."""
    entry = recorded.entry
    if isinstance(entry, GrantScheduled):
        return _grant(_state_of(recorded), entry.amount, 0, "pending")
    transfer = transfer_of(recorded)
    return _grant(_state_of(recorded), transfer.amount, 0, "active")


def voided_answer(grant: GrantState, recorded: Recorded) -> GrantAnswer:
    """The grant as the void left it: its holds keep what they had reserved."""
    entry = recorded.entry
    if isinstance(entry, GrantEnded):
        held = entry.held
    else:
        cause = transfer_of(recorded).cause
        assert isinstance(cause, Lapse)  # noqa: S101 - a void's keys lead to ends of grants only
        held = cause.held
    return _grant(grant, held, held, "voided")


def grant_answer(view: GrantView) -> GrantAnswer:
    lot = view.lot
    status: Any = view.status
    if lot is not None:
        return _grant(view.grant, lot.remaining, lot.held, status)
    return _grant(view.grant, view.grant.amount if status == PENDING else 0, 0, status)


def _state_of(recorded: Recorded) -> GrantState:
    entry, seq, time_ms = recorded
    if isinstance(entry, GrantScheduled):
        return GrantState(
            entry.id, entry.account, entry.asset, entry.amount, entry.terms, entry.code, entry.metadata,
            seq, time_ms, PENDING, 0, 0, seq,
        )  # fmt: skip
    transfer = transfer_of(recorded)
    cause = transfer.cause
    assert isinstance(cause, Issue)  # noqa: S101 - a grant's keys lead to grants only
    return GrantState(
        cause.grant, transfer.destination, transfer.asset, transfer.amount, cause.terms, transfer.code,
        transfer.metadata, seq, time_ms, "active", seq, 0, seq,
    )  # fmt: skip


def _grant(grant: GrantState, remaining: int, held: int, status: GrantStatus) -> GrantAnswer:
    terms = grant.terms
    return GrantAnswer(
        id=grant.id,
        account=grant.account,
        asset=grant.asset,
        amount=grant.amount,
        remaining=remaining,
        held=held,
        status=status,
        category=terms.category,
        priority=terms.priority,
        code=grant.code,
        effective_at=time_or_none(terms.effective_ms),
        expires_at=time_or_none(terms.expires_ms),
        seq=grant.recorded_seq,
        recorded_at=rfc3339(grant.recorded_ms),
        metadata=metadata_of(grant.metadata),
    )


# --- transfers


def transfer_answer(recorded: Recorded, state: TransferState | None = None) -> TransferAnswer:
    """As it was posted; with its state, as it stands now."""
    entry = transfer_of(recorded)
    cause = entry.cause
    answer = TransferAnswer(
        id=entry.id,
        source=entry.source,
        destination=entry.destination,
        amount=entry.amount,
        asset=entry.asset,
        code=entry.code,
        seq=recorded.seq,
        recorded_at=rfc3339(recorded.time_ms),
        effective_at=time_or_none(entry.effective_ms),
        funding=parts(entry.funding),
        reversed=0 if state is None else entry.amount - state.left,
        metadata=metadata_of(entry.metadata),
    )
    match cause:
        case None:
            return answer
        case Issue():
            return replace(answer, grant=cause.grant, rule=cause.rule or UNSET)
        case Lapse():
            return replace(answer, grant=cause.grant)
        case Capture():
            return replace(answer, hold=cause.hold)
        case Reversal():
            revived = tuple((lot.grant, lot.remaining) for lot in cause.revived)
            restored, lapsed = parts((*cause.restored, *revived)), parts(cause.lapsed)
            return replace(answer, reverses=cause.of, restored=restored, lapsed=lapsed)


def dry_answer(posted: Posted, trial: Trial, asked_id: str | None) -> DryRunAnswer:
    """What would be posted; what was posted already under the same id or key, as it was."""
    answer = DryRunAnswer(**asdict(transfer_answer(posted.recorded)), top_ups=_top_ups(trial))
    return answer if posted.replayed else replace(answer, id=asked_id, seq=None, recorded_at=None)


def _top_ups(trial: Trial) -> list[TopUpPart]:
    """What top-up rules would grant, in order, and which of them would fall short of their level."""
    found = [
        TopUpPart(rule=cause.rule, account=entry.destination, amount=entry.amount, skipped=None)
        for entry in trial.entries
        if isinstance(entry, TransferPosted) and isinstance(cause := entry.cause, Issue) and cause.rule
    ]
    found += [
        TopUpPart(rule=rule.id, account=state.account.id, amount=0, skipped=rule.skipped)
        for state in trial.states.values()
        for rule in state.holdings.rules
        if state.available < rule.below
    ]
    return found


def parts(funding: Funding) -> list[GrantPart]:
    return [GrantPart(grant=grant, amount=amount) for grant, amount in funding]


def batch_answer(
    ids: list[str | None], outcomes: list[Posted | Rejected], repeats: list[bool]
) -> BatchAnswer:
    """`repeats` tells which were posted by this very request, sent before: they get that answer again."""
    return BatchAnswer(results=list(map(_result, ids, outcomes, repeats)))


def _result(asked: str | None, outcome: Posted | Rejected, repeat: bool) -> BatchResult:
    if isinstance(outcome, Rejected):
        return BatchResult(
            id=asked, status="rejected", code=outcome.reason.value, account=outcome.about or UNSET
        )
    return BatchResult(
        id=transfer_of(outcome.recorded).id,
        status="duplicate" if outcome.replayed and not repeat else "posted",
    )


# --- holds


def placed_answer(recorded: Recorded) -> HoldAnswer:
    """The hold as it was placed."""
    entry = recorded.entry
    assert isinstance(entry, HoldPlaced)  # noqa: S101 - a hold's key leads to holds only
    return _hold(entry, 0, "pending", recorded.seq)


def hold_answer(hold: HoldState) -> HoldAnswer:
    status: Any = hold.status
    return _hold(hold.placed, hold.captured, status, hold.seq)


def captured_answer(placed: HoldPlaced, recorded: Recorded) -> HoldAnswer:
    """The hold as this capture left it, whatever became of it since."""
    transfer = transfer_of(recorded)
    cause = transfer.cause
    assert isinstance(cause, Capture)  # noqa: S101 - a capture's keys lead to captures only
    return _hold(
        placed, cause.captured, CAPTURED if cause.final else PENDING, recorded.seq, transfer_id=transfer.id
    )


def released_answer(placed: HoldPlaced, recorded: Recorded) -> HoldAnswer:
    """The hold as it was voided: what it released had not been captured."""
    entry = recorded.entry
    assert isinstance(entry, HoldReleased)  # noqa: S101 - a void's keys lead to releases only
    return _hold(placed, placed.amount - entry.amount, VOIDED, recorded.seq)


def _hold(
    placed: HoldPlaced, captured: int, status: Any, seq: int, *, transfer_id: str | UnsetType = UNSET
) -> HoldAnswer:
    of_hold: HoldStatus = status
    return HoldAnswer(
        id=placed.id,
        account=placed.account,
        asset=placed.asset,
        destination=placed.destination,
        amount=placed.amount,
        captured=captured,
        status=of_hold,
        expires_at=rfc3339(placed.expires_ms),
        code=placed.code,
        seq=seq,
        metadata=metadata_of(placed.metadata),
        transfer_id=transfer_id,
    )


# --- top-up rules


def rule_answer(account: str, rule: TopUpRule) -> RuleAnswer:
    return RuleAnswer(
        id=rule.id,
        account=account,
        below=rule.below,
        amount=rule.amount if rule.to is None else None,
        to=rule.to,
        category=rule.category,
        max_per_day=rule.max_per_day,
        last_skipped=SkippedTopUp(at=rfc3339(rule.skipped_ms), reason=rule.skipped) if rule.skipped else None,
    )


# --- lists


def cursor_of(position: EntryPosition | None) -> str | None:
    return None if position is None else f"{position.seq}.{position.index}"


def position_of(cursor: str) -> EntryPosition | Problem:
    """Where a cursor points to; a problem for one that was not given out here."""
    seq, _, index = cursor.partition(".")
    if not all(each.isascii() and each.isdigit() and len(each) <= DIGITS_MAX for each in (seq, index)):
        return Problem(400, "validation_failed", "`cursor` is not one of this list's.")
    return EntryPosition(int(seq), int(index))


def transfer_of(recorded: Recorded) -> TransferPosted:
    entry = recorded.entry
    assert isinstance(entry, TransferPosted)  # noqa: S101 - a transfer's keys lead to transfers only
    return entry


def metadata_of(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode()) if text else _NO_METADATA
