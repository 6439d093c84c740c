"""How balances are spread over accounts, and whether checkpoints drift from the journal: for operators."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from application.ledger.census import Census
from credit_system import (
    DependencyUnavailable,
    Ledger,
    Merge,
    Metric,
    MetricKind,
    PluginContext,
    Recurring,
    Runtime,
)
from plugins.credits.measures import LedgerMeasures

CHECKPOINT_S: Final = 2.0
"""How long it may take until the checkpoint of an account says what is held in it now."""
SHARE_MAX: Final = 0.02
"""Of the time at most: a census goes through all checkpoints, so that a large ledger's is a rare one."""
PAUSE_S_MIN: Final = 10.0
"""Between two censuses: none is scraped more often, and each holds up MongoDB's callers for a moment."""
BOUNDS: Final = (0, *(10**power for power in range(16)))

ACCOUNT_BALANCE: Final = Metric(
    "credit_account_balance",
    MetricKind.DISTRIBUTION,
    "Accounts by what is posted in them, in minor units; the system's left out",
    ("asset",),
    BOUNDS,
    merge=Merge.NEWEST,
)
DRIFT: Final = Metric(
    "credit_ledger_drift",
    MetricKind.GAUGE,
    "Minor units by which account checkpoints differ from the journal, as far as they were compared: 0",
    merge=Merge.MOST,
)

_log = logging.getLogger(__name__)


class BalanceMeasures:
    """Takes a census from time to time, for as long as the service runs."""

    def __init__(
        self, context: PluginContext, runtime: Runtime, ledger: Ledger, measures: LedgerMeasures
    ) -> None:
        self._runtime = runtime
        self._ledger = ledger
        self._measures = measures
        self._balance = context.register_metric(ACCOUNT_BALANCE)
        self._drift = context.register_metric(DRIFT)
        self._drift.set(0)

        self._counting = Recurring(runtime, self._count, name="census of accounts")

    def begin(self, _: object) -> None:
        """Hook `service.started`. It ends with the runtime."""
        self._counting.start()

    async def _count(self) -> float:
        mark = self._measures.mark_held()
        await self._runtime.sleep(CHECKPOINT_S)
        began_s = self._runtime.monotonic()
        try:
            self._show(await self._ledger.take_census(BOUNDS), mark)
        except DependencyUnavailable:
            # What was shown last stays: other metrics show that the store is away.
            _log.debug("no census was taken")
        except Exception:  # noqa: BLE001 - a fault of one round must not end all that follow
            _log.exception("no census was taken")
        return max(PAUSE_S_MIN, (self._runtime.monotonic() - began_s) / SHARE_MAX)

    def _show(self, census: Census, mark: Mapping[str, int]) -> None:
        for each in census.assets:
            self._balance.put(each.within, each.accounts, each.posted, each.asset)
            self._measures.settle_held(each.asset, each.held, mark)
        self._drift.set(census.drift)
