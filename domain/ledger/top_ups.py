"""Top-up rules: each holds a level of what is available in its account.

Rules act before a command looks at the account and after it has changed it, in the command's own document:
whatever lowered the account, a spend, a hold, an expiry or a void. They never act in a read.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from domain.ledger.account import BALANCE_MAX, ISSUANCE, LOTS_MAX, RULES_MAX, AccountState, TopUpRule
from domain.ledger.commands import LEDGER, RemoveRule, SetRule, transfer_key
from domain.ledger.entries import Issue, RuleRemoved, RuleSet, RuleSkipped, TransferPosted
from domain.ledger.lots import PRIORITY_DEFAULT, GrantTerms
from domain.ledger.outcomes import Outcome, Rejected, Rejection
from domain.ledger.overlay import Overlay
from domain.ledger.replay import DAY_MS

TOP_UP: Final = "topup:"
"""How the ids of grants begin that rules issue, and of their transfers."""
CODE: Final = "top_up"

DAY_USED: Final = "day_used"
"""The rule acted as often as it may on one UTC day."""
ACCOUNT_FULL: Final = "account_full"
"""The account has as many live and scheduled grants as an account may have."""
BALANCE_OVERFLOW: Final = "balance_overflow"
REASONS: Final = (DAY_USED, ACCOUNT_FULL, BALANCE_OVERFLOW)
"""Why a rule leaves its account below its level, in order of precedence."""


def set_rule(overlay: Overlay, command: SetRule) -> Outcome:
    state = overlay.settle(command.account)
    if state is None:
        return Rejected(Rejection.ACCOUNT_NOT_FOUND, command.account)
    if len(state.holdings.rules) >= RULES_MAX:
        return Rejected(Rejection.TOO_MANY_LOTS)
    return overlay.record(
        RuleSet(
            command.id, command.account, state.account.asset, command.below, command.amount, command.category,
            command.max_per_day, command.keys, command.fingerprint, command.actor, command.to,
        )
    )  # fmt: skip


def remove_rule(overlay: Overlay, command: RemoveRule) -> Outcome:
    state = overlay.settle(command.account)
    if state is None or all(rule.id != command.id for rule in state.holdings.rules):
        return Rejected(Rejection.NOT_FOUND)
    return overlay.record(
        RuleRemoved(
            command.id, command.account, state.account.asset, command.keys, command.fingerprint, command.actor
        )
    )


def hold_levels(overlay: Overlay, state: AccountState) -> None:
    """Lets each rule of an account act, in the order in which they were set, until its level is reached.

    Acting only adds, so no rule undoes what another did, and calling this again changes nothing.
    """
    key = state.account.key
    for rule in state.holdings.rules:
        if state.available < rule.below:
            _act(overlay, state, rule)
            state = overlay.changed.get(key) or state


class _Step(NamedTuple):
    """How many uses of a rule are taken now, what they grant together, and what keeps it from more."""

    uses: int
    amount: int
    skipped: str


def _act(overlay: Overlay, state: AccountState, rule: TopUpRule) -> None:
    source = overlay.system_account(ISSUANCE, state.account.asset)
    day = overlay.time_ms // DAY_MS
    used = rule.used if rule.day == day else 0
    room = min(BALANCE_MAX - state.posted, BALANCE_MAX + source.posted)
    step = _next_step(state, rule, uses_left=rule.max_per_day - used, room=room)
    if step.uses:
        account = state.account
        name = f"{TOP_UP}{rule.id}:{day}.{used + 1}"
        entry = TransferPosted(
            name, ISSUANCE, account.id, step.amount, account.asset, CODE, source.posted - step.amount,
            state.posted + step.amount, (transfer_key(name),), "", LEDGER,
            cause=Issue(name, GrantTerms(rule.category, PRIORITY_DEFAULT), rule.id, step.uses),
        )  # fmt: skip
        overlay.move(source, state, entry)
    if step.skipped and (rule.skipped != step.skipped or rule.skipped_ms // DAY_MS != day):
        # By its place: no two have the same key, whatever the reasons alternate between.
        key = f"s:{rule.id}:{overlay.seq}.{overlay.place}"
        overlay.record(
            RuleSkipped(rule.id, state.account.id, state.account.asset, step.skipped, (key,), "", LEDGER)
        )


def _next_step(state: AccountState, rule: TopUpRule, *, uses_left: int, room: int) -> _Step:
    """All that the rule may do now at once: one grant, however many uses it takes."""
    if uses_left <= 0:
        return _Step(0, 0, DAY_USED)
    if len(state.holdings.lots) + len(state.holdings.scheduled) >= LOTS_MAX:
        return _Step(0, 0, ACCOUNT_FULL)
    if rule.to is not None:
        amount = rule.to - state.available
        return _Step(1, amount, "") if amount <= room else _Step(0, 0, BALANCE_OVERFLOW)
    wanted = -(-(rule.below - state.available) // rule.amount)
    fitting = min(wanted, max(0, room) // rule.amount)
    uses = min(fitting, uses_left)
    skipped = "" if uses == wanted else DAY_USED if uses == uses_left else BALANCE_OVERFLOW
    return _Step(uses, uses * rule.amount, skipped)
