"""The metrics of the ledger, for its operators."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping
from typing import Final, TypeVar

from credit_system import (
    EXPIRED,
    ISSUANCE,
    REVENUE,
    CommittedBatch,
    Entry,
    HoldReleased,
    Issue,
    Ledger,
    Merge,
    Metric,
    MetricKind,
    Outcome,
    PluginContext,
    Rejected,
    RuleSkipped,
    Runtime,
    TransferPosted,
    is_system,
)
from domain.ledger.commands import LEDGER
from domain.ledger.top_ups import REASONS
from plugins.credits.held import HeldTotals

Answered = TypeVar("Answered")

_log = logging.getLogger("credit.ledger")

LATENCY_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
BATCH_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)

TRANSACTIONS: Final = Metric(
    "credit_transactions_total",
    MetricKind.COUNTER,
    "Commands to the ledger and how they ended; what fell due by itself is begin_grant, end_grant,"
    " expire_hold, top_up",
    ("operation", "status"),
)
DURATION: Final = Metric(
    "credit_transaction_duration_seconds",
    MetricKind.HISTOGRAM,
    "From the command to its durable outcome",
    ("operation",),
    LATENCY_BUCKETS_S,
)
BALANCE: Final = Metric(
    "credit_balance",
    MetricKind.GAUGE,
    "Minor units over all accounts, by asset: posted (with anybody), issued (less what was voided), spent"
    " (what @revenue has), expired; held, which pending holds reserve: what other processes wrote some"
    " seconds late",
    ("asset", "kind"),
    merge=Merge.NEWEST,
)
SKIPPED: Final = Metric(
    "credit_top_ups_skipped_total",
    MetricKind.COUNTER,
    "Top-up rules that left their account below its level, once for each reason and UTC day of a rule",
    ("reason",),
)
HEAD: Final = Metric(
    "credit_ledger_head", MetricKind.GAUGE, "Number of the newest document", ("book",), merge=Merge.NEWEST
)
DROPPED: Final = Metric(
    "credit_ledger_announcements_dropped_total",
    MetricKind.COUNTER,
    "Committed entries that were never announced because too many waited",
)
BATCH_SIZE: Final = Metric(
    "credit_ledger_batch_size",
    MetricKind.HISTOGRAM,
    "Entries committed together",
    buckets=BATCH_BUCKETS,
)


class LedgerMeasures:
    def __init__(self, context: PluginContext, runtime: Runtime, ledger: Ledger) -> None:
        self._runtime = runtime
        self._ledger = ledger
        self._transactions = context.register_metric(TRANSACTIONS)
        self._duration = context.register_metric(DURATION)
        self._balance = context.register_metric(BALANCE)
        self._skipped = context.register_metric(SKIPPED)
        for reason in REASONS:
            self._skipped.add(0, reason)  # There before the first one, or its increase could not be seen.
        self._head = context.register_metric(HEAD)
        self._dropped = context.register_metric(DROPPED)
        self._dropped_before = 0
        self._batch_size = context.register_metric(BATCH_SIZE)
        self._totals: dict[str, dict[str, tuple[int, int, int]]] = {}
        self._held = HeldTotals()

    async def timed(self, operation: str, work: Awaitable[Answered]) -> Answered:
        """Measures one use case; what it raises counts as failed."""
        started = self._runtime.monotonic()
        try:
            result = await work
        except Exception:
            self._transactions.add(1, operation, "failed")
            raise
        self._duration.observe(self._runtime.monotonic() - started, operation)
        return result

    def count(self, operation: str, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            self._transactions.add(1, operation, _status(outcome))

    async def committed(self, payload: object) -> None:
        """Hook `ledger.committed`: sizes, head and the totals of the assets that moved."""
        if not isinstance(payload, CommittedBatch):
            return
        document = payload.document
        self._batch_size.observe(len(document.entries))
        self._head.set(document.seq, document.book)
        dropped = self._ledger.announcements_dropped
        self._dropped.add(dropped - self._dropped_before)
        self._dropped_before = dropped
        for entry in document.entries:
            if isinstance(entry, RuleSkipped):
                self._note_skipped(document.book, entry)
            elif (operation := _fallen_due(entry)) is not None:
                self._transactions.add(1, operation, "posted")
        touched = self._held.sweep(document.time_ms)
        moved: set[str] = set()
        for state in payload.states.values():
            account = state.account
            if is_system(account.id):
                moved.add(account.asset)
            elif self._held.see(document.book, state):
                touched.add(account.asset)
        for asset in touched | moved:
            self._balance.set(self._held.of(asset), asset, "held")
        for asset in moved:
            await self._settle_totals(document.book, asset)

    def _note_skipped(self, book: str, entry: RuleSkipped) -> None:
        self._skipped.add(1, entry.reason)
        _log.warning(
            "a top-up rule left its account below its level",
            extra={"rule": entry.rule, "account": entry.account, "book": book, "reason": entry.reason},
        )

    def mark_held(self) -> Mapping[str, int]:
        return self._held.mark()

    def settle_held(self, asset: str, held: int, mark: Mapping[str, int]) -> None:
        """Takes what a census found to be held of an asset; see `HeldTotals.settle`."""
        self._held.settle(asset, held, mark)
        self._balance.set(self._held.of(asset), asset, "held")

    async def _settle_totals(self, book: str, asset: str) -> None:
        """Reads the states in memory after the commit: they have the other workers' documents too."""
        books = self._totals.setdefault(asset, {})
        books[book] = await self._system_balances(book, asset)
        issued = -sum(issuance for issuance, _, _ in books.values())
        spent = sum(revenue for _, revenue, _ in books.values())
        expired = sum(lapsed for _, _, lapsed in books.values())
        self._balance.set(issued, asset, "issued")
        self._balance.set(spent, asset, "spent")
        self._balance.set(expired, asset, "expired")
        # Double entry: issued credits are either spent, expired or with an account.
        self._balance.set(issued - spent - expired, asset, "posted")

    async def _system_balances(self, book: str, asset: str) -> tuple[int, int, int]:
        async def posted(name: str) -> int:
            state = await self._ledger.account(book, name, asset=asset, fresh=False)
            return state.posted if state else 0

        return await posted(ISSUANCE), await posted(REVENUE), await posted(EXPIRED)


def _fallen_due(entry: Entry) -> str | None:
    """The name of an operation for an entry that the ledger made of its own accord; None for a command's."""
    if entry.actor != LEDGER:
        return None
    if isinstance(entry, HoldReleased):
        return "expire_hold"
    if isinstance(entry, TransferPosted) and isinstance(entry.cause, Issue):
        return "top_up" if entry.cause.rule else "begin_grant"
    return "end_grant"


def _status(outcome: Outcome) -> str:
    if outcome.replayed:
        return "replayed"
    return outcome.reason.value if isinstance(outcome, Rejected) else "posted"
