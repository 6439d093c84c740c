"""From the ledger's values to HTTP's, and back."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from adapters.web import Answer, Problem, rfc3339
from application.ledger.history import AccountEntry, Position
from domain.ledger.account import AccountState
from domain.ledger.entries import AccountOpened, Issue, Recorded, TransferPosted
from domain.ledger.outcomes import Posted, Rejected, Rejection
from plugins.credits.shapes import (
    AccountAnswer,
    BatchAnswer,
    BatchResult,
    EntryAnswer,
    GrantAnswer,
    TransferAnswer,
)

REPLAYED: Final = (("Idempotent-Replayed", "true"),)
_NO_METADATA: Final = msgspec.Raw(b"{}")

REFUSALS: Final = {
    Rejection.IDEMPOTENCY_CONFLICT: (409, "This id or Idempotency-Key was used with another body."),
    Rejection.ACCOUNT_EXISTS: (409, "An account of this id exists, and it is another one."),
    Rejection.ACCOUNT_NOT_FOUND: (404, "An account named here does not exist in this book."),
    Rejection.ASSET_MISMATCH: (422, "The accounts hold different assets."),
    Rejection.INSUFFICIENT_FUNDS: (409, "The source has not that much available."),
    Rejection.BALANCE_OVERFLOW: (422, "A balance would grow past what a ledger can hold."),
    Rejection.BATCH_REJECTED: (409, "Another transfer of the same atomic batch was rejected."),
}


def metadata_text(metadata: dict[str, Any] | None) -> str:
    """Canonical: the order of members makes no other command."""
    return msgspec.json.encode(metadata, order="deterministic").decode() if metadata else ""


def refusal(rejection: Rejection, **extensions: Any) -> Problem:
    status, detail = REFUSALS[rejection]
    return Problem(status, rejection.value, detail, extensions=extensions)


def created(body: msgspec.Struct, posted: Posted) -> Answer:
    """201 with the first answer; a repeat says that it is one."""
    return Answer(201, body, REPLAYED if posted.replayed else ())


def account_answer(state: AccountState) -> AccountAnswer:
    account = state.account
    return AccountAnswer(
        id=account.id,
        asset=account.asset,
        user_id=account.user_id,
        posted=state.posted,
        held=state.held,
        available=state.available,
        overdraft_limit=account.overdraft_limit,
        grants=[],
        seq=state.seq,
        metadata=_metadata(account.metadata),
    )


def opening_answer(recorded: Recorded) -> AccountAnswer:
    """The account as it was when it was opened."""
    entry = recorded.entry
    assert isinstance(entry, AccountOpened)  # noqa: S101 - an opening's keys lead to openings only
    return account_answer(AccountState(entry.account, 0, 0, recorded.seq))


def transfer_answer(recorded: Recorded) -> TransferAnswer:
    entry = _transfer(recorded)
    return TransferAnswer(
        id=entry.id,
        source=entry.source,
        destination=entry.destination,
        amount=entry.amount,
        asset=entry.asset,
        code=entry.code,
        seq=recorded.seq,
        recorded_at=rfc3339(recorded.time_ms),
        metadata=_metadata(entry.metadata),
    )


def grant_answer(recorded: Recorded) -> GrantAnswer:
    """The grant as it was issued: all of it is left."""
    entry = _transfer(recorded)
    assert isinstance(entry.cause, Issue)  # noqa: S101 - a grant's keys lead to grants only
    terms = entry.cause.terms
    return GrantAnswer(
        id=entry.id,
        account=entry.destination,
        asset=entry.asset,
        amount=entry.amount,
        remaining=entry.amount,
        held=0,
        status="active",
        category=terms.category,
        priority=terms.priority,
        code=entry.code,
        expires_at=None,
        seq=recorded.seq,
        recorded_at=rfc3339(recorded.time_ms),
        metadata=_metadata(entry.metadata),
    )


def entry_answer(entry: AccountEntry) -> EntryAnswer:
    return EntryAnswer(
        transfer_id=entry.transfer.id,
        amount=entry.amount,
        balance=entry.balance,
        code=entry.transfer.code,
        counterparty=entry.counterparty,
        seq=entry.position.seq,
        recorded_at=rfc3339(entry.recorded_ms),
        metadata=_metadata(entry.transfer.metadata),
    )


def batch_answer(
    ids: list[str | None], outcomes: list[Posted | Rejected], repeats: list[bool]
) -> BatchAnswer:
    """`repeats` tells which were posted by this very request, sent before: they get that answer again."""
    return BatchAnswer(results=list(map(_result, ids, outcomes, repeats)))


def _result(asked: str | None, outcome: Posted | Rejected, repeat: bool) -> BatchResult:
    if isinstance(outcome, Rejected):
        return BatchResult(id=asked, status="rejected", code=outcome.reason.value)
    return BatchResult(
        id=_transfer(outcome.recorded).id, status="duplicate" if outcome.replayed and not repeat else "posted"
    )


def cursor_of(position: Position | None) -> str | None:
    return None if position is None else f"{position.seq}.{position.index}"


def position_of(cursor: str) -> Position | Problem:
    """Where a cursor points to; a problem for one that was not given out here."""
    seq, _, index = cursor.partition(".")
    if not (cursor.isascii() and seq.isdigit() and index.isdigit() and len(cursor) <= 32):
        return Problem(400, "validation_failed", "`cursor` is not one of this list's.")
    return Position(int(seq), int(index))


def _transfer(recorded: Recorded) -> TransferPosted:
    entry = recorded.entry
    assert isinstance(entry, TransferPosted)  # noqa: S101 - a transfer's keys lead to transfers only
    return entry


def _metadata(text: str) -> msgspec.Raw:
    return msgspec.Raw(text.encode()) if text else _NO_METADATA
