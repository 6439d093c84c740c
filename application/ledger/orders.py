"""What is asked of the ledger, as its users say it, and the commands that follow from it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from application.audit.ledger_events import BATCH
from domain.ids import time_ordered_id
from domain.ledger.account import REVENUE, Account
from domain.ledger.commands import (
    HOLD_EXPIRES_MS,
    TRANSFER_PREFIX,
    CaptureHold,
    IssueGrant,
    OpenAccount,
    PlaceHold,
    PostTransfer,
    RemoveRule,
    ReverseTransfer,
    Sent,
    SetRule,
    VoidGrant,
    VoidHold,
    fingerprint,
    fingerprint_of_capture,
    hold_key,
    opening_key,
    rule_key,
    transfer_key,
)
from domain.ledger.entries import Recorded
from domain.ledger.lots import GrantTerms
from domain.ledger.outcomes import Outcome, Rejected
from ports.clock import Clock
from ports.entropy import Entropy

RULE_PREFIX: Final = "rule"
"""How the ids of top-up rules begin."""
TRANSFERS: Final = "transfers"
"""What differs when a key was used with another batch."""
ATOMIC: Final = "atomic"
"""What differs when a key was used with the same batch, of which all or nothing was to be posted, or not."""


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a command is given: the book, who answers for it, the key it may repeat under."""

    book: str
    actor: str
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class AccountOrder:
    """An account to open; without `id` the ledger makes one. `metadata` is canonical JSON text."""

    asset: str
    id: str | None = None
    user_id: str | None = None
    overdraft_limit: int = 0
    metadata: str = ""
    low_balance: int | None = None


@dataclass(frozen=True, slots=True)
class GrantOrder:
    """Credits to issue to an account, in minor units; times in milliseconds since 1970, UTC."""

    account: str
    amount: int
    category: str
    priority: int
    code: str
    metadata: str = ""
    effective_ms: int | None = None
    expires_ms: int | None = None


@dataclass(frozen=True, slots=True)
class TransferOrder:
    """Credits to move; without `id` the ledger makes one. `effective_ms` dates it back. Raises `ValueError`
    for a transfer from an account to itself."""

    source: str
    destination: str
    amount: int
    code: str
    id: str | None = None
    metadata: str = ""
    effective_ms: int | None = None

    def __post_init__(self) -> None:
        _check_sides(self.source, self.destination)


@dataclass(frozen=True, slots=True)
class HoldOrder:
    """Credits to reserve for `expires_in_ms`. Raises `ValueError` where a capture would lead to the account
    itself."""

    account: str
    amount: int
    code: str
    destination: str = REVENUE
    expires_in_ms: int = HOLD_EXPIRES_MS
    metadata: str = ""

    def __post_init__(self) -> None:
        _check_sides(self.account, self.destination)


@dataclass(frozen=True, slots=True)
class RuleOrder:
    """At least `below` is held available: by steps of `amount`, or by grants up to `to`, one of which is
    None; `max_per_day` times a UTC day."""

    account: str
    below: int
    amount: int | None
    category: str
    max_per_day: int
    to: int | None = None


class Orders:
    """Makes commands of orders: gives them ids, the keys they are recorded under, a fingerprint."""

    def __init__(self, clock: Clock, entropy: Entropy) -> None:
        self._clock = clock
        self._entropy = entropy

    def open_account(self, caller: Caller, order: AccountOrder) -> OpenAccount:
        account_id = order.id or self._new_id("acc")
        account = Account(
            account_id, order.asset, order.user_id, order.overdraft_limit, order.metadata, order.low_balance
        )
        keys = _keys(caller, "accounts", opening_key(account_id))
        fields: list[Sent] = [
            order.id, order.asset, order.user_id, order.overdraft_limit, order.metadata, order.low_balance
        ]  # fmt: skip
        return OpenAccount(
            account, keys, fingerprint("account", fields), caller.actor, _repeatable(caller, order.id)
        )

    def transfer(self, caller: Caller, order: TransferOrder) -> PostTransfer:
        return self._transfer(caller, order, "transfers", 0, "")

    def batch(
        self, caller: Caller, orders: Sequence[TransferOrder], *, atomic: bool
    ) -> tuple[PostTransfer, ...]:
        """The transfers of one request. Under an idempotency key, each is a repeat only in the same
        whole body, and what is refused of a batch that is not atomic stays refused."""
        whole = ""
        if caller.idempotency_key is not None:
            fields = [field for order in orders for field in _sent(order)]
            whole = fingerprint("batch", [int(atomic), *fields])
        remembers = bool(whole) and not atomic
        return tuple(
            self._transfer(caller, order, BATCH, index, whole, remembers_refusal=remembers)
            for index, order in enumerate(orders)
        )

    def _transfer(
        self,
        caller: Caller,
        order: TransferOrder,
        route: str,
        index: int,
        whole: str,
        *,
        remembers_refusal: bool = False,
    ) -> PostTransfer:
        transfer_id = order.id or self._new_id(TRANSFER_PREFIX)
        keys, sent = _keys(caller, route, transfer_key(transfer_id), index), _sent(order)
        if whole and order.id is None:
            sent.append(whole)
        elif whole:
            # An id makes the same transfer of it in any body: a key tells which one this is.
            keys = (*keys, f"{keys[-1]}:{whole}")
        return PostTransfer(
            transfer_id,
            order.source,
            order.destination,
            order.amount,
            order.code,
            keys,
            fingerprint("transfer", sent),
            caller.actor,
            order.metadata,
            order.effective_ms,
            _repeatable(caller, order.id),
            # Not its own key: another request may post a transfer of this id yet.
            keys[1:] if remembers_refusal else (),
        )

    def grant(self, caller: Caller, order: GrantOrder) -> IssueGrant:
        grant_id = self._new_id("gr")
        terms = GrantTerms(order.category, order.priority, order.effective_ms, order.expires_ms)
        fields: list[Sent] = [order.account, order.amount, *terms, order.code, order.metadata]
        return IssueGrant(
            grant_id,
            order.account,
            order.amount,
            terms,
            order.code,
            _keys(caller, "grants", transfer_key(grant_id)),
            fingerprint("grant", fields),
            caller.actor,
            order.metadata,
            _repeatable(caller),
        )

    def void_grant(self, caller: Caller, grant_id: str) -> VoidGrant:
        transfer_id = self._new_id(TRANSFER_PREFIX)
        return VoidGrant(
            grant_id,
            transfer_id,
            _keys(caller, "grants-void", f"n:{transfer_id}"),
            fingerprint("void grant", [grant_id]),
            caller.actor,
            _repeatable(caller),
        )

    def reverse(
        self,
        caller: Caller,
        transfer_id: str,
        amount: int | None,
        metadata: str = "",
        effective_ms: int | None = None,
    ) -> ReverseTransfer:
        reversal_id = self._new_id(TRANSFER_PREFIX)
        fields: list[Sent] = [transfer_id, amount, metadata, *_optional(effective_ms=effective_ms)]
        return ReverseTransfer(
            reversal_id,
            transfer_id,
            amount,
            _keys(caller, "transfers-reverse", transfer_key(reversal_id)),
            fingerprint("reversal", fields),
            caller.actor,
            metadata,
            _repeatable(caller),
            effective_ms,
        )

    def hold(self, caller: Caller, order: HoldOrder) -> PlaceHold:
        hold_id = self._new_id("hold")
        fields: list[Sent] = [
            order.account, order.amount, order.destination, order.expires_in_ms, order.code, order.metadata
        ]  # fmt: skip
        return PlaceHold(
            hold_id,
            order.account,
            order.amount,
            order.destination,
            order.expires_in_ms,
            order.code,
            _keys(caller, "holds", hold_key(hold_id)),
            fingerprint("hold", fields),
            caller.actor,
            order.metadata,
            _repeatable(caller),
        )

    def capture(self, caller: Caller, hold_id: str, amount: int | None, *, final: bool) -> CaptureHold:
        transfer_id = self._new_id(TRANSFER_PREFIX)
        return CaptureHold(
            hold_id,
            transfer_id,
            amount,
            final,
            _keys(caller, "holds-capture", transfer_key(transfer_id)),
            fingerprint_of_capture(hold_id, amount, final=final),
            caller.actor,
            _repeatable(caller),
        )

    def void_hold(self, caller: Caller, hold_id: str) -> VoidHold:
        return VoidHold(
            hold_id,
            _keys(caller, "holds-void", f"n:{self._new_id('void')}"),
            fingerprint("void hold", [hold_id]),
            caller.actor,
            _repeatable(caller),
        )

    def set_rule(self, caller: Caller, order: RuleOrder) -> SetRule:
        rule_id = self._new_id(RULE_PREFIX)
        fields: list[Sent] = [
            order.account, order.below, order.amount, order.category, order.max_per_day,
            *_optional(to=order.to),
        ]  # fmt: skip
        return SetRule(
            rule_id,
            order.account,
            order.below,
            order.amount or 0,
            order.category,
            order.max_per_day,
            _keys(caller, "top-up-rules", rule_key(rule_id)),
            fingerprint("rule", fields),
            caller.actor,
            _repeatable(caller),
            order.to,
        )

    def remove_rule(self, caller: Caller, rule_id: str, account: str) -> RemoveRule:
        """Removing a rule once more is the same removal."""
        return RemoveRule(
            rule_id, account, (f"x:{rule_id}",), fingerprint("remove rule", [rule_id]), caller.actor, True
        )

    def _new_id(self, prefix: str) -> str:
        return time_ordered_id(prefix, self._clock.now_ms(), self._entropy.token(10))


def _check_sides(source: str, destination: str) -> None:
    if source == destination:
        # Each side's balance is decided by itself: one account would keep what only one of them says.
        raise ValueError(f"credits do not move from `{source}` to itself")


def is_repeat_of_request(caller: Caller, outcome: Outcome, index: int) -> bool:
    """Whether an earlier request for this batch under the same key posted the transfer, or was refused it."""
    if caller.idempotency_key is None or not outcome.replayed:
        return False
    if isinstance(outcome, Rejected):
        return True
    return _repeat_key(caller.idempotency_key, BATCH, index) in outcome.recorded.entry.keys


def is_another_batch(commands: Sequence[PostTransfer], recorded: Mapping[str, Recorded]) -> bool:
    """Whether a batch is another one than what was recorded under its key, which is each command's second."""
    sent = {command.keys[1]: (command.fingerprint, command.keys[1:]) for command in commands}
    return any(
        # An item's refusal stands under the request's keys alone, a transfer under its own before them.
        (entry.fingerprint, entry.keys[entry.keys.index(key) :]) != sent[key]
        for key, entry in ((key, found.entry) for key, found in recorded.items())
    )


def is_conflict_of_batches(outcome: Outcome) -> bool:
    """Whether the item's whole batch was refused, since its key was used with another one."""
    return isinstance(outcome, Rejected) and outcome.field in (TRANSFERS, ATOMIC)


def _sent(order: TransferOrder) -> list[Sent]:
    return [
        order.id, order.source, order.destination, order.amount, order.code, order.metadata,
        order.effective_ms,
    ]  # fmt: skip


def _optional(**fields: Sent) -> list[Sent]:
    """Fields that commands have learned since: one that was not sent leaves the fingerprint as it was."""
    return [f"{name}={field}" for name, field in fields.items() if field is not None]


def _keys(caller: Caller, route: str, own: str, index: int = 0) -> tuple[str, ...]:
    """What the command is recorded under: its own key, which lets it be sent again when it is unknown
    what became of it, and the caller's."""
    if caller.idempotency_key is None:
        return (own,)
    return (own, _repeat_key(caller.idempotency_key, route, index))


def _repeatable(caller: Caller, client_id: str | None = None) -> bool:
    """Whether the client chose one of the keys, and may be sending the command again."""
    return client_id is not None or caller.idempotency_key is not None


def _repeat_key(idempotency_key: str, route: str, index: int) -> str:
    digest = hashlib.sha256(idempotency_key.encode()).hexdigest()[:32]
    return f"k:{route}:{digest}:{index}"
