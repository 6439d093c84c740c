"""Transfers and their reversals."""

from __future__ import annotations

from typing import Final

from domain.ledger.account import (
    BALANCE_MAX,
    LOTS_MAX,
    NOTHING,
    AccountState,
    is_system,
)
from domain.ledger.commands import PostTransfer, ReverseTransfer, grant_key, transfer_key
from domain.ledger.entries import Capture, Reversal, TransferPosted
from domain.ledger.lots import PROMOTIONAL, Funding, Lot, free_of, funded
from domain.ledger.outcomes import Outcome, Rejected, Rejection
from domain.ledger.overlay import ACTIVATE, EXPIRE, Overlay
from domain.ledger.replay import new
from domain.ledger.subjects import ACTIVE, GrantState, TransferState, plain_left
from domain.ledger.top_ups import TOP_UP

LEDGERS_OWN_IDS: Final = (EXPIRE, ACTIVATE, TOP_UP)
"""How the ids of transfers begin that nobody asked for. A client's would take the key under which what
falls due is recorded, and no batch that touches the account could be appended again."""


def post_transfer(overlay: Overlay, command: PostTransfer) -> Outcome:
    name, source_id, destination_id, amount, code, keys, fingerprint, actor, metadata, effective_ms, _, _ = (
        command
    )
    if ":" in name and name.startswith(LEDGERS_OWN_IDS):
        return Rejected(Rejection.IDEMPOTENCY_CONFLICT, field="id")
    sides = settle_sides(overlay, source_id, destination_id)
    if isinstance(sides, Rejected):
        return sides
    source, destination = sides
    refused = refusal_of(source, destination, amount)
    if refused is not None:
        return Rejected(refused)
    holdings = source.holdings
    funding: Funding = ()
    if holdings is not NOTHING:
        transferable = is_to_another_user(source, destination)
        funding = funded(holdings.lots, amount, transferable=transferable)
    # From here on nothing fails.
    entry = new(
        TransferPosted,
        (
            name, source_id, destination_id, amount, source.account.asset, code, source.posted - amount,
            destination.posted + amount, keys, fingerprint, actor, metadata, funding, effective_ms, None,
        ),
    )  # fmt: skip
    posted = overlay.move(source, destination, entry)
    if holdings.rules:
        overlay.settle(source.account.key)
    return posted


def settle_sides(
    overlay: Overlay, source_id: str, destination_id: str
) -> tuple[AccountState, AccountState] | Rejected:
    """The two accounts of a transfer, settled; a system account is the one of the other side's asset."""
    changed, accounts, time_ms = overlay.changed, overlay.accounts, overlay.time_ms
    # `overlay.settle` at length: these two look-ups are on the path of every transfer.
    source = None if source_id[0] == "@" else changed.get(source_id) or accounts.get(source_id)
    if (
        source is not None
        and (holdings := source.holdings) is not NOTHING
        and (holdings.due_ms <= time_ms or holdings.rules)
    ):
        source = overlay.settle(source_id)
    destination = None
    if destination_id[0] != "@":
        destination = changed.get(destination_id) or accounts.get(destination_id)
    if (
        destination is not None
        and (holdings := destination.holdings) is not NOTHING
        and (holdings.due_ms <= time_ms or holdings.rules)
    ):
        destination = overlay.settle(destination_id)
    if source is None or destination is None:
        if destination is not None and is_system(source_id):
            return overlay.system_account(source_id, destination.account.asset), destination
        if source is not None and is_system(destination_id):
            return source, overlay.system_account(destination_id, source.account.asset)
        return Rejected(Rejection.ACCOUNT_NOT_FOUND, absent_of(overlay, source_id, destination_id))
    if source.account.asset != destination.account.asset:
        return Rejected(Rejection.ASSET_MISMATCH)
    return source, destination


def absent_of(overlay: Overlay, *account_ids: str) -> str:
    """The first of the accounts that does not exist; of the system's there are none that do not."""
    named = [each for each in account_ids if not is_system(each)]
    return next((each for each in named if overlay.state(each) is None), account_ids[0])


def refusal_of(source: AccountState, destination: AccountState, amount: int) -> Rejection | None:
    """Why `amount` cannot be moved, or reserved to be moved, from one account to the other."""
    account, posted, held, _, _, holdings = source
    limit = account.overdraft_limit
    if limit is not None:
        available = posted - held
        if available - amount < -limit:
            return Rejection.INSUFFICIENT_FUNDS
        if holdings is not NOTHING and is_to_another_user(source, destination):
            promotional = free_of(holdings.lots, category=PROMOTIONAL)
            if available - promotional - amount < -limit:
                return Rejection.GRANT_NOT_TRANSFERABLE
    if destination.posted + amount > BALANCE_MAX or posted - amount < -BALANCE_MAX:
        return Rejection.BALANCE_OVERFLOW
    return None


def is_to_another_user(source: AccountState, destination: AccountState) -> bool:
    """Spending is not: what is spent goes to an account that is no user's."""
    user_id = destination.account.user_id
    return user_id is not None and user_id != source.account.user_id


def reverse_transfer(overlay: Overlay, command: ReverseTransfer) -> Outcome:
    """Gives back to the grants that paid if they live, latest burnt first; the rest becomes plain."""
    state = overlay.need(transfer_key(command.of))
    if not isinstance(state, TransferState):
        return Rejected(Rejection.NOT_FOUND)
    posted = state.posted
    if not (posted.cause is None or isinstance(posted.cause, Capture)):
        return Rejected(Rejection.TRANSFER_NOT_REVERSIBLE)
    if state.left == 0:
        return Rejected(Rejection.TRANSFER_ALREADY_REVERSED)
    amount = state.left if command.amount is None else command.amount
    if amount > state.left:
        return Rejected(Rejection.AMOUNT_EXCEEDS_TRANSFER)
    effective_ms = command.effective_ms
    if effective_ms is not None and effective_ms < state.effective_ms:
        return Rejected(Rejection.DATED_BEFORE_ORIGINAL)
    # Taken together: what falls due in the one may move credits of the other, if that is the system's.
    sides = settle_sides(overlay, posted.destination, posted.source)
    if isinstance(sides, Rejected):
        return sides
    receiver, giver = sides
    refused = refusal_of_reversal(receiver, giver, amount)
    if refused is not None:
        return Rejected(refused)
    reversal = _given_back(overlay, state, giver, amount)
    if len(giver.holdings.lots) + len(giver.holdings.scheduled) + len(reversal.revived) > LOTS_MAX:
        return Rejected(Rejection.TOO_MANY_LOTS)
    # From here on nothing fails. What the transfer brought was plain, so plain credits go first.
    rest = amount - min(amount, max(0, receiver.plain_free))
    return overlay.move(
        receiver,
        giver,
        TransferPosted(
            command.id, posted.destination, posted.source, amount, posted.asset, "reversal",
            receiver.posted - amount, giver.posted + amount, command.keys, command.fingerprint,
            command.actor, command.metadata, funded(receiver.holdings.lots, rest), effective_ms, reversal,
        ),
    )  # fmt: skip


def refusal_of_reversal(receiver: AccountState, giver: AccountState, amount: int) -> Rejection | None:
    limit = receiver.account.overdraft_limit
    if limit is not None and receiver.posted - receiver.held - amount < -limit:
        return Rejection.INSUFFICIENT_FUNDS
    if giver.posted + amount > BALANCE_MAX or receiver.posted - amount < -BALANCE_MAX:
        return Rejection.BALANCE_OVERFLOW
    return None


def _given_back(overlay: Overlay, state: TransferState, giver: AccountState, amount: int) -> Reversal:
    restored: list[tuple[str, int]] = []
    revived: list[Lot] = []
    lapsed: list[tuple[str, int]] = []
    amount -= min(amount, plain_left(state))
    lots = {lot.grant: lot for lot in giver.holdings.lots}
    for grant, left in reversed(state.funding_left):
        part = min(left, amount)
        if part == 0:
            break
        amount -= part
        terms = overlay.need(grant_key(grant))
        if grant in lots and not lots[grant].ended:
            restored.append((grant, part))
        elif grant not in lots and isinstance(terms, GrantState) and _is_live(terms, overlay.time_ms):
            revived.append(_lot_of(terms, part))
        else:
            lapsed.append((grant, part))
    return Reversal(state.posted.id, tuple(restored), tuple(revived), tuple(lapsed))


def _is_live(grant: GrantState, time_ms: int) -> bool:
    """A grant of which nothing is left expires without an entry: there is nothing to tell."""
    expires_ms = grant.terms.expires_ms
    return grant.status == ACTIVE and (expires_ms is None or expires_ms > time_ms)


def _lot_of(grant: GrantState, remaining: int) -> Lot:
    terms = grant.terms
    return Lot(
        grant.id, remaining, 0, terms.priority, terms.category, terms.expires_ms, grant.issued_seq,
        grant.issued_index,
    )  # fmt: skip
