"""Grants: credits with terms, issued at once or later, and voided."""

from __future__ import annotations

from domain.ledger.account import BALANCE_MAX, ISSUANCE, LOTS_MAX
from domain.ledger.commands import IssueGrant, VoidGrant, ending_key, grant_key
from domain.ledger.entries import GrantEnded, GrantScheduled, Issue, TransferPosted
from domain.ledger.outcomes import Outcome, Rejected, Rejection
from domain.ledger.overlay import Overlay, end_lot
from domain.ledger.subjects import VOIDED, GrantState


def issue_grant(overlay: Overlay, command: IssueGrant) -> Outcome:
    """A grant that begins later is scheduled; one that has expired already is refused as not active."""
    state = overlay.settle(command.account)
    if state is None:
        return Rejected(Rejection.ACCOUNT_NOT_FOUND, command.account)
    account, amount, terms = state.account, command.amount, command.terms
    if terms.expires_ms is not None and terms.expires_ms <= overlay.time_ms:
        return Rejected(Rejection.GRANT_NOT_ACTIVE)
    source = overlay.system_account(ISSUANCE, account.asset)
    scheduled = sum(grant.amount for grant in state.holdings.scheduled)
    if state.posted + scheduled + amount > BALANCE_MAX or source.posted - amount < -BALANCE_MAX:
        return Rejected(Rejection.BALANCE_OVERFLOW)
    if len(state.holdings.lots) + len(state.holdings.scheduled) >= LOTS_MAX:
        return Rejected(Rejection.TOO_MANY_LOTS)
    if terms.effective_ms is not None and terms.effective_ms > overlay.time_ms:
        return overlay.record(
            GrantScheduled(
                command.id, account.id, account.asset, amount, terms, command.code, command.keys,
                command.fingerprint, command.actor, command.metadata,
            )
        )  # fmt: skip
    return overlay.move(
        source,
        state,
        TransferPosted(
            command.id, ISSUANCE, account.id, amount, account.asset, command.code, source.posted - amount,
            state.posted + amount, command.keys, command.fingerprint, command.actor, command.metadata, (),
            terms.effective_ms, Issue(command.id, terms),
        ),
    )  # fmt: skip


def void_grant(overlay: Overlay, command: VoidGrant) -> Outcome:
    grant = overlay.need(grant_key(command.grant))
    if not isinstance(grant, GrantState):
        return Rejected(Rejection.NOT_FOUND)
    state = overlay.settle(grant.account)
    if state is None:
        return Rejected(Rejection.ACCOUNT_NOT_FOUND)
    if any(each.id == grant.id for each in state.holdings.scheduled):
        return overlay.record(
            GrantEnded(
                grant.id, grant.account, grant.asset, VOIDED, 0, (ending_key(grant.id), *command.keys),
                command.fingerprint, command.actor,
            )
        )  # fmt: skip
    lot = next((lot for lot in state.holdings.lots if lot.grant == grant.id and not lot.ended), None)
    if lot is None:
        return Rejected(Rejection.GRANT_NOT_ACTIVE)
    return end_lot(
        overlay, state, lot, VOIDED, command.keys, command.fingerprint, command.actor,
        transfer_id=command.transfer_id,
    )  # fmt: skip
