"""What the ledger remembers of single holds, grants and transfers, as the journal tells it.

An account's state knows its pending holds and its live lots. These states are for commands and
questions about one of them by its id, also when it has ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from domain.ledger.account import account_key
from domain.ledger.commands import grant_key, hold_key, transfer_key
from domain.ledger.entries import (
    AccountOpened,
    Capture,
    Entry,
    GrantEnded,
    GrantScheduled,
    HoldPlaced,
    HoldReleased,
    Issue,
    Lapse,
    Refused,
    Reversal,
    RuleRemoved,
    RuleSet,
    RuleSkipped,
    TransferPosted,
)
from domain.ledger.lots import Funding, GrantTerms, total, without

DUE: Final = "d:"
"""The subject of documents in which something comes or ends by itself later."""
RULES: Final = "r:"
"""The subject of documents in which a top-up rule is set or removed."""
BACKDATED: Final = "b:"
"""How the subjects begin of documents in which an entry of an account was dated back; its key follows."""

PENDING = "pending"
CAPTURED = "captured"
VOIDED = "voided"
EXPIRED_STATUS = "expired"
ACTIVE = "active"


class HoldState(NamedTuple):
    """A hold as of document `seq`; `status` is pending, captured, voided or expired."""

    placed: HoldPlaced
    captured: int
    status: str
    seq: int


class GrantState(NamedTuple):
    """A grant as of document `seq`; `status` is pending, active, expired or voided.

    `issued_seq` and `issued_index` say where its credits came in, which orders lots of equal terms.
    """

    id: str
    account: str
    asset: str
    amount: int
    terms: GrantTerms
    code: str
    metadata: str
    recorded_seq: int
    recorded_ms: int
    status: str
    issued_seq: int
    issued_index: int
    seq: int


class TransferState(NamedTuple):
    """A transfer as of document `seq`, and what of it has not been reversed: `funding_left` is the
    part that the source's grants had paid."""

    posted: TransferPosted
    left: int
    funding_left: Funding
    seq: int
    recorded_ms: int

    @property
    def effective_ms(self) -> int:
        """When it counts from."""
        dated_ms = self.posted.effective_ms
        return self.recorded_ms if dated_ms is None else dated_ms


Subject = HoldState | GrantState | TransferState
"""By the key of what it is about: `h:`, `g:` or `t:` and its id."""


def subject_of_account(account_id: str, asset: str) -> str:
    return f"a:{account_key(account_id, asset)}"


def subject_of_user(user_id: str) -> str:
    """Of documents in which an account of the user is opened."""
    return f"u:{user_id}"


def subjects_of(entry: Entry) -> Iterable[str]:
    """What the entry's document is found by without reading the whole journal, in the order in which it is
    stored. A transfer is found by its key, and is a subject only of what reverses it."""
    if isinstance(entry, TransferPosted):
        return _subjects_of_transfer(entry)
    if isinstance(entry, AccountOpened):
        account = entry.account
        opened = subject_of_account(account.id, account.asset)
        return (opened,) if account.user_id is None else (opened, subject_of_user(account.user_id))
    if isinstance(entry, Refused):
        return ()
    holder = subject_of_account(entry.account, entry.asset)
    match entry:
        case GrantScheduled():
            return holder, grant_key(entry.id), DUE
        case GrantEnded():
            return holder, grant_key(entry.grant)
        case HoldPlaced():
            return holder, hold_key(entry.id), DUE
        case HoldReleased():
            return holder, hold_key(entry.hold)
        case RuleSet() | RuleRemoved():
            return holder, RULES
        case RuleSkipped():
            return (holder,)


def _subjects_of_transfer(entry: TransferPosted) -> Iterable[str]:
    asset, cause = entry.asset, entry.cause
    sides = subject_of_account(entry.source, asset), subject_of_account(entry.destination, asset)
    if cause is None and entry.effective_ms is None:
        return sides
    found = list(sides)
    if isinstance(cause, Issue | Lapse):
        found.append(grant_key(cause.grant))
    elif isinstance(cause, Capture):
        found.append(hold_key(cause.hold))
    elif isinstance(cause, Reversal):
        found.append(transfer_key(cause.of))
    if (isinstance(cause, Issue) and cause.terms.expires_ms is not None) or (
        isinstance(cause, Reversal) and cause.revived
    ):
        found.append(DUE)
    if entry.is_backdated:
        found += (BACKDATED + account_key(each, asset) for each in (entry.source, entry.destination))
    return found


def keys_of_subjects(entry: Entry) -> Iterator[str]:
    """The keys of all that the entry is about, accounts left aside."""
    if isinstance(entry, TransferPosted):
        yield transfer_key(entry.id)
        cause = entry.cause
        if isinstance(cause, Issue | Lapse):
            yield grant_key(cause.grant)
        elif isinstance(cause, Capture):
            yield hold_key(cause.hold)
        elif isinstance(cause, Reversal):
            yield transfer_key(cause.of)
    elif isinstance(entry, GrantScheduled):
        yield grant_key(entry.id)
    elif isinstance(entry, GrantEnded):
        yield grant_key(entry.grant)
    elif isinstance(entry, HoldPlaced):
        yield hold_key(entry.id)
    elif isinstance(entry, HoldReleased):
        yield hold_key(entry.hold)


def subject_after(
    key: str, before: Subject | None, entry: Entry, *, seq: int, index: int, time_ms: int
) -> Subject | None:
    """What `key` names after an entry that is about it; `index` is the entry's place in document `seq`."""
    kind = key[0]
    if kind == "h":
        return _hold_after(before, entry, seq)
    if kind == "g":
        return _grant_after(before, entry, seq, index, time_ms)
    return _transfer_after(key, before, entry, seq, time_ms)


def _hold_after(before: Subject | None, entry: Entry, seq: int) -> Subject | None:
    if isinstance(entry, HoldPlaced):
        return HoldState(entry, 0, PENDING, seq)
    if not isinstance(before, HoldState):
        return before
    if isinstance(entry, HoldReleased):
        return before._replace(status=entry.status, seq=seq)
    if isinstance(entry, TransferPosted) and isinstance(entry.cause, Capture):
        status = CAPTURED if entry.cause.final else PENDING
        return before._replace(captured=entry.cause.captured, status=status, seq=seq)
    return before


def _grant_after(before: Subject | None, entry: Entry, seq: int, index: int, time_ms: int) -> Subject | None:
    if isinstance(entry, GrantScheduled):
        return GrantState(
            entry.id, entry.account, entry.asset, entry.amount, entry.terms, entry.code, entry.metadata,
            seq, time_ms, PENDING, 0, 0, seq,
        )  # fmt: skip
    if isinstance(entry, TransferPosted) and isinstance(entry.cause, Issue):
        if isinstance(before, GrantState):
            return before._replace(status=ACTIVE, issued_seq=seq, issued_index=index, seq=seq)
        return GrantState(
            entry.cause.grant, entry.destination, entry.asset, entry.amount, entry.cause.terms, entry.code,
            entry.metadata, seq, time_ms, ACTIVE, seq, index, seq,
        )  # fmt: skip
    if not isinstance(before, GrantState):
        return before
    if isinstance(entry, GrantEnded):
        return before._replace(status=entry.status, seq=seq)
    if isinstance(entry, TransferPosted) and isinstance(entry.cause, Lapse):
        return before._replace(status=entry.cause.status, seq=seq)
    return before


def _transfer_after(key: str, before: Subject | None, entry: Entry, seq: int, time_ms: int) -> Subject | None:
    if not isinstance(entry, TransferPosted):
        return before
    if key == transfer_key(entry.id):
        return TransferState(entry, entry.amount, entry.funding, seq, time_ms)
    if isinstance(before, TransferState) and isinstance(entry.cause, Reversal):
        cause = entry.cause
        given = (*cause.restored, *((lot.grant, lot.remaining) for lot in cause.revived), *cause.lapsed)
        left = without(before.funding_left, _added(given))
        return before._replace(left=before.left - entry.amount, funding_left=left, seq=seq)
    return before


def _added(parts: Funding) -> Funding:
    sums: dict[str, int] = {}
    for grant, part in parts:
        sums[grant] = sums.get(grant, 0) + part
    return tuple(sums.items())


def plain_left(state: TransferState) -> int:
    """What of the part that is not reversed was plain."""
    return state.left - total(state.funding_left)
