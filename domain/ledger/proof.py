"""Holds a book's entries against the rules, one after another, and believes no balance that they state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from domain.ledger.account import (
    EXPIRED,
    ISSUANCE,
    AccountState,
    ActiveHold,
    TopUpRule,
    is_system,
    untouched_system_account,
)
from domain.ledger.chain import JournalDocument
from domain.ledger.commands import transfer_key
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
    Recorded,
    Refused,
    Reversal,
    RuleRemoved,
    RuleSet,
    RuleSkipped,
    TransferPosted,
)
from domain.ledger.lots import Funding, Lot, first_of, total
from domain.ledger.outcomes import Rejection
from domain.ledger.replay import account_after, accounts_of
from domain.ledger.subjects import TransferState, plain_left, subject_after
from domain.ledger.top_ups import REASONS

Problems = Iterator[str]
"""What is wrong with one entry, worst first; only the first is asked for."""


class Proof:
    """What a book's documents add up to so far.

    Keeps the state of each account, one number a pending hold, and what is left of each transfer that was
    reversed. After a problem it is of no use: what follows would be held against wrong states.
    """

    def __init__(self) -> None:
        self._states: dict[str, AccountState] = {}
        self._captured: dict[str, int] = {}
        """Of each pending hold."""
        self._reversed: dict[str, TransferState] = {}
        self._touched: dict[str, AccountState | None] = {}

    @property
    def states(self) -> Mapping[str, AccountState]:
        """By account key, after the last document."""
        return self._states

    @property
    def touched(self) -> Mapping[str, AccountState | None]:
        """The accounts that the last document touched, by key, as they were before it."""
        return self._touched

    def unknown_transfers(self, documents: Iterable[JournalDocument]) -> list[str]:
        """Keys of the transfers that these documents reverse and that are needed to `check` them."""
        keys = [
            transfer_key(entry.cause.of)
            for document in documents
            for entry in document.entries
            if isinstance(entry, TransferPosted) and isinstance(entry.cause, Reversal)
        ]
        return [key for key in dict.fromkeys(keys) if key not in self._reversed]

    def check(self, document: JournalDocument, transfers: Mapping[str, Recorded]) -> str | None:
        """What is wrong with the next document, None if nothing is. It follows from the one before and has
        its shape; `transfers` holds what `unknown_transfers` asked for."""
        keys: set[str] = set()
        self._touched.clear()
        for place, entry in enumerate(document.entries):
            problem = self._refused(document, place, entry, keys, transfers)
            if problem is not None:
                return f"entry {place}: {problem}"
        return None if document.entries else "it has no entries"

    def imbalance(self) -> str | None:
        """Which asset's accounts do not add up to zero, if there is one."""
        sums: Counter[str] = Counter()
        for state in self._states.values():
            sums[state.account.asset] += state.posted
        return next(
            (f"all accounts of {asset} add up to {sum_}" for asset, sum_ in sums.items() if sum_), None
        )

    def _refused(
        self,
        document: JournalDocument,
        place: int,
        entry: Entry,
        keys: set[str],
        transfers: Mapping[str, Recorded],
    ) -> str | None:
        if not entry.keys or len(set(entry.keys)) < len(entry.keys) or not keys.isdisjoint(entry.keys):
            return f"its keys {entry.keys} are not its own"
        keys.update(entry.keys)
        problem = next(self._before(entry), None)
        if problem is None and isinstance(entry, TransferPosted) and isinstance(entry.cause, Reversal):
            problem = self._reversal(document, place, entry, entry.cause, transfers)
        if problem is not None:
            return problem
        touched = self._fold(document, place, entry)
        return next(_after(touched), None)

    def _fold(self, document: JournalDocument, place: int, entry: Entry) -> list[AccountState]:
        touched: list[AccountState] = []
        for key, is_source in accounts_of(entry):
            before = self._states.get(key)
            after = account_after(key, before, entry, is_source, document.seq, place, document.time_ms)
            self._states[key] = after
            self._touched.setdefault(key, before)
            touched.append(after)
        if isinstance(entry, HoldPlaced):
            self._captured[entry.id] = 0
        elif isinstance(entry, HoldReleased):
            del self._captured[entry.hold]
        elif isinstance(entry, TransferPosted) and isinstance(entry.cause, Capture):
            if entry.cause.final:
                del self._captured[entry.cause.hold]
            else:
                self._captured[entry.cause.hold] = entry.cause.captured
        return touched

    def _state(self, account_id: str, asset: str) -> AccountState | None:
        """The account of this id and asset, None when there is none."""
        if is_system(account_id):
            system = untouched_system_account(account_id, asset)
            return self._states.get(system.account.key, system)
        state = self._states.get(account_id)
        return state if state is not None and state.account.asset == asset else None

    def _before(self, entry: Entry) -> Problems:
        if isinstance(entry, TransferPosted):
            return self._transfer(entry)
        if isinstance(entry, AccountOpened):
            return self._opening(entry)
        if isinstance(entry, Refused):
            return _refused(entry)
        state = self._state(entry.account, entry.asset)
        if state is None:
            return iter([f"account {entry.account} of {entry.asset} was not opened"])
        if isinstance(entry, HoldPlaced | HoldReleased):
            return self._hold_entry(state, entry)
        return _holder(state, entry)

    def _opening(self, entry: AccountOpened) -> Problems:
        if is_system(entry.account.id):
            yield f"system account {entry.account.id} is opened"
        if entry.account.key in self._states:
            yield f"account {entry.account.id} is opened once more"

    def _transfer(self, entry: TransferPosted) -> Problems:
        source = self._state(entry.source, entry.asset)
        destination = self._state(entry.destination, entry.asset)
        if source is None or destination is None:
            missing = entry.source if source is None else entry.destination
            yield f"account {missing} of {entry.asset} was not opened"
            return
        amount = entry.amount
        if amount < 1:
            yield f"its amount is {amount}"
        if entry.source == entry.destination:
            yield f"it moves from {entry.source} to itself"
        if transfer_key(entry.id) not in entry.keys:
            yield f"its keys {entry.keys} are not its own"
        yield from _balance(source, -amount, entry.source_posted)
        yield from _balance(destination, amount, entry.destination_posted)
        cause = entry.cause
        if isinstance(cause, Capture):
            yield from self._capture(source, entry, cause)
        elif isinstance(cause, Lapse):
            yield from _lapse(source, entry, cause)
        else:
            yield from _funding(source, entry.funding, amount)
            if isinstance(cause, Issue):
                yield from _issue(destination, entry, cause)

    def _capture(self, source: AccountState, entry: TransferPosted, cause: Capture) -> Problems:
        hold = _hold(source, cause.hold)
        if hold is None:
            yield f"hold {cause.hold} is not pending in {entry.source}"
            return
        if entry.amount > hold.remaining:
            yield f"hold {hold.id} has {hold.remaining} left"
        if not cause.final and entry.amount == hold.remaining:
            yield f"nothing is left of hold {hold.id}, and it has not ended"
        captured = self._captured[hold.id] + entry.amount
        if cause.captured != captured:
            yield f"hold {hold.id} is captured for {captured} in all, not {cause.captured}"
        if entry.funding != first_of(hold.funding, entry.amount):
            yield f"other grants pay than those that fund hold {hold.id}"

    def _hold_entry(self, state: AccountState, entry: HoldPlaced | HoldReleased) -> Problems:
        if isinstance(entry, HoldPlaced):
            if entry.amount < 1:
                yield f"its amount is {entry.amount}"
            if entry.id in self._captured:
                yield f"hold {entry.id} is placed once more"
            yield from _funding(state, entry.funding, entry.amount)
            return
        hold = _hold(state, entry.hold)
        if hold is None:
            yield f"hold {entry.hold} is not pending in {entry.account}"
        elif entry.amount != hold.remaining:
            yield f"hold {hold.id} has {hold.remaining} left, not {entry.amount}"

    def _reversal(
        self,
        document: JournalDocument,
        place: int,
        entry: TransferPosted,
        cause: Reversal,
        transfers: Mapping[str, Recorded],
    ) -> str | None:
        key = transfer_key(cause.of)
        state = self._reversed.get(key) or _posted_before(transfers.get(key), document, place)
        if state is None:
            return f"no transfer {cause.of} came before it"
        giver = self._states.get(entry.destination)
        problem = next(_reversal_of(state, giver, entry, cause), None)
        if problem is not None:
            return problem
        after = subject_after(key, state, entry, seq=document.seq, index=place, time_ms=document.time_ms)
        assert isinstance(after, TransferState)  # noqa: S101 - a transfer stays one
        self._reversed[key] = after
        return None


def _balance(state: AccountState, change: int, stated: int) -> Problems:
    if state.posted + change != stated:
        yield f"{state.account.key} had {state.posted}, so it has {state.posted + change}, not {stated}"


def _funding(state: AccountState, funding: Funding, amount: int) -> Problems:
    """Each part must be free in a live lot, and each grant pays once."""
    free = {lot.grant: lot.free for lot in state.holdings.lots}
    if any(part < 1 or part > free.pop(grant, 0) for grant, part in funding) or total(funding) > amount:
        yield f"the grants of {state.account.key} cannot pay {list(funding)}"


def _issue(destination: AccountState, entry: TransferPosted, cause: Issue) -> Problems:
    if entry.source != ISSUANCE:
        yield f"grant {cause.grant} comes from {entry.source}"
    scheduled = next((each for each in destination.holdings.scheduled if each.id == cause.grant), None)
    if scheduled is not None and (scheduled.amount, scheduled.terms) != (entry.amount, cause.terms):
        yield f"grant {cause.grant} was scheduled with other terms"
    if _lot(destination, cause.grant) is not None:
        yield f"grant {cause.grant} is issued once more"
    if not cause.rule:
        if cause.uses != 1:
            yield f"grant {cause.grant} is of no rule, and counts as {cause.uses} uses of one"
        return
    rule = _rule(destination, cause.rule)
    if rule is None:
        yield f"rule {cause.rule} does not stand"
    elif cause.uses < 1 or entry.amount != (rule.amount * cause.uses if rule.to is None else entry.amount):
        yield f"rule {rule.id} does not grant {entry.amount} by {cause.uses} uses"
    elif rule.to is not None and (destination.available + entry.amount, cause.uses) != (rule.to, 1):
        yield f"rule {rule.id} does not fill the account up to {rule.to}"


def _lapse(source: AccountState, entry: TransferPosted, cause: Lapse) -> Problems:
    lot = _lot(source, cause.grant)
    if lot is None:
        yield f"nothing is left of grant {cause.grant}"
        return
    if (lot.remaining - lot.held, lot.held) != (entry.amount, cause.held):
        yield f"grant {lot.grant} has {lot.remaining} left, of which holds have reserved {lot.held}"
    if entry.destination not in (EXPIRED, ISSUANCE) or entry.funding != ((lot.grant, entry.amount),):
        yield f"grant {lot.grant} does not end like this"


def _refused(entry: Refused) -> Problems:
    if entry.reason not in {rejection.value for rejection in Rejection}:
        yield f"nothing is refused for {entry.reason}"


def _holder(
    state: AccountState, entry: GrantScheduled | GrantEnded | RuleSet | RuleRemoved | RuleSkipped
) -> Problems:
    if isinstance(entry, GrantScheduled):
        if entry.amount < 1:
            yield f"its amount is {entry.amount}"
        if entry.id in _grants(state):
            yield f"grant {entry.id} is there already"
    elif isinstance(entry, GrantEnded):
        lot = _lot(state, entry.grant)
        if entry.grant not in _grants(state):
            yield f"grant {entry.grant} is not in {entry.account}"
        if (lot.remaining, lot.held) != (entry.held, entry.held) if lot else entry.held != 0:
            yield f"holds have reserved another part of grant {entry.grant}"
    elif isinstance(entry, RuleSkipped):
        rule = _rule(state, entry.rule)
        if rule is None:
            yield f"rule {entry.rule} does not stand"
        elif entry.reason not in REASONS or state.available >= rule.below:
            yield f"rule {entry.rule} had nothing to skip for {entry.reason}"
    else:
        stands = any(rule.id == entry.id for rule in state.holdings.rules)
        if stands is isinstance(entry, RuleSet):
            yield f"rule {entry.id} {'is set once more' if stands else 'does not stand'}"


def _reversal_of(
    state: TransferState, giver: AccountState | None, entry: TransferPosted, cause: Reversal
) -> Problems:
    posted = state.posted
    if not (posted.cause is None or isinstance(posted.cause, Capture)):
        yield f"transfer {posted.id} is not one that is reversed"
    sides = (posted.destination, posted.source, posted.asset)
    if sides != (entry.source, entry.destination, entry.asset):
        yield f"transfer {posted.id} was between other accounts"
    if entry.amount > state.left:
        yield f"{state.left} is left of transfer {posted.id}"
    given = (*cause.restored, *((lot.grant, lot.remaining) for lot in cause.revived), *cause.lapsed)
    left = dict(state.funding_left)
    if any(part < 1 or part > left.pop(grant, 0) for grant, part in given):
        yield f"it gives back to grants that did not pay for {posted.id}"
    if not 0 <= entry.amount - total(given) <= plain_left(state):
        yield f"another part of transfer {posted.id} was paid by grants"
    lots = {lot.grant: lot for lot in giver.holdings.lots} if giver else {}
    if any(grant not in lots or lots[grant].ended for grant, _ in cause.restored):
        yield "it gives back to a grant that does not live"
    if any(lot.grant in lots or lot.held or lot.ended for lot in cause.revived):
        yield "it revives a grant that lives"


def _posted_before(recorded: Recorded | None, document: JournalDocument, place: int) -> TransferState | None:
    if recorded is None or not isinstance(entry := recorded.entry, TransferPosted):
        return None
    is_before = recorded.seq < document.seq or entry in document.entries[:place]
    if not is_before:
        return None
    return TransferState(entry, entry.amount, entry.funding, recorded.seq, recorded.time_ms)


def _after(touched: Iterable[AccountState]) -> Problems:
    for state in touched:
        limit = state.account.overdraft_limit
        if limit is not None and state.posted - state.held < -limit:
            yield f"{state.account.key} goes to {state.posted - state.held}, below its limit of {-limit}"
        for lot in state.holdings.lots:
            if not 0 <= lot.held <= lot.remaining:
                yield f"grant {lot.grant} has {lot.remaining} left, of which holds have reserved {lot.held}"
        for rule in state.holdings.rules:
            if rule.used > rule.max_per_day:
                yield f"rule {rule.id} acted {rule.used} times on a day, of {rule.max_per_day}"
        if state.held != sum(hold.remaining for hold in state.holdings.holds):
            yield f"the holds of {state.account.key} do not add up to {state.held}"


def _hold(state: AccountState, hold_id: str) -> ActiveHold | None:
    return next((hold for hold in state.holdings.holds if hold.id == hold_id), None)


def _lot(state: AccountState, grant_id: str) -> Lot | None:
    return next((lot for lot in state.holdings.lots if lot.grant == grant_id), None)


def _rule(state: AccountState, rule_id: str) -> TopUpRule | None:
    return next((rule for rule in state.holdings.rules if rule.id == rule_id), None)


def _grants(state: AccountState) -> set[str]:
    holdings = state.holdings
    return {lot.grant for lot in holdings.lots} | {grant.id for grant in holdings.scheduled}
