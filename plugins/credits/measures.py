"""What the ledger's operators see."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final, TypeVar

from application.ledger.announcer import CommittedBatch
from application.ledger.service import Ledger
from domain.ledger.account import EXPIRED, ISSUANCE, REVENUE, is_system
from domain.ledger.outcomes import Outcome, Rejected
from plugins.plugin import PluginContext
from ports.metrics import Merge, Metric, MetricKind
from ports.runtime import Runtime

Answered = TypeVar("Answered")

LATENCY_BUCKETS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
BATCH_BUCKETS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)

TRANSACTIONS: Final = Metric(
    "credit_transactions_total",
    MetricKind.COUNTER,
    "Commands to the ledger and how they ended",
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
    "credit_balance_total",
    MetricKind.GAUGE,
    "Minor units over all accounts, by asset: posted, held, issued, spent, expired",
    ("asset", "kind"),
    merge=Merge.NEWEST,
)
HEAD: Final = Metric(
    "credit_ledger_head", MetricKind.GAUGE, "Number of the newest document", ("book",), merge=Merge.NEWEST
)
BATCH_SIZE: Final = Metric(
    "credit_ledger_batch_size",
    MetricKind.HISTOGRAM,
    "Entries committed together",
    buckets=BATCH_BUCKETS,
)


@dataclass(slots=True)
class _Totals:
    """Posted balances of one asset's system accounts in one book; all other accounts are the rest."""

    issuance: int = 0
    revenue: int = 0
    expired: int = 0


class LedgerMeasures:
    def __init__(self, context: PluginContext, runtime: Runtime, ledger: Ledger) -> None:
        self._runtime = runtime
        self._ledger = ledger
        self._transactions = context.register_metric(TRANSACTIONS)
        self._duration = context.register_metric(DURATION)
        self._balance = context.register_metric(BALANCE)
        self._head = context.register_metric(HEAD)
        self._batch_size = context.register_metric(BATCH_SIZE)
        self._totals: dict[str, dict[str, _Totals]] = {}

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
        assets = {state.account.asset for state in payload.states.values() if is_system(state.account.id)}
        for asset in assets:
            await self._settle_totals(document.book, asset, payload)

    async def _settle_totals(self, book: str, asset: str, batch: CommittedBatch) -> None:
        books = self._totals.setdefault(asset, {})
        totals = books.get(book)
        if totals is None:
            totals = books[book] = await self._read_totals(book, asset)
        for state in batch.states.values():
            if state.account.asset != asset:
                continue
            if state.account.id == ISSUANCE:
                totals.issuance = state.posted
            elif state.account.id == REVENUE:
                totals.revenue = state.posted
            elif state.account.id == EXPIRED:
                totals.expired = state.posted
        issued = -sum(each.issuance for each in books.values())
        spent = sum(each.revenue for each in books.values())
        expired = sum(each.expired for each in books.values())
        self._balance.set(issued, asset, "issued")
        self._balance.set(spent, asset, "spent")
        self._balance.set(expired, asset, "expired")
        # Double entry: what was issued is either spent, expired or with somebody.
        self._balance.set(issued - spent - expired, asset, "posted")

    async def _read_totals(self, book: str, asset: str) -> _Totals:
        posted = []
        for name in (ISSUANCE, REVENUE, EXPIRED):
            state = await self._ledger.account(book, name, asset=asset, fresh=False)
            posted.append(state.posted if state else 0)
        return _Totals(*posted)


def _status(outcome: Outcome) -> str:
    if isinstance(outcome, Rejected):
        return outcome.reason.value
    return "replayed" if outcome.replayed else "posted"
