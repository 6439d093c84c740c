"""The credits plugin: a module, its routes, its hooks and its metrics."""

from __future__ import annotations

from credit_system import LEDGER_COMMITTED, SERVICE_STARTED, Ledger, Plugin, PluginContext, Realtime, Runtime
from plugins.credits.announcements import BalanceAnnouncements
from plugins.credits.balances import BalanceMeasures
from plugins.credits.measures import LedgerMeasures
from plugins.credits.missed import MissedBalances
from plugins.credits.routes import credit_routes
from plugins.credits.routes.support import CreditRouteSupport


class CreditsPlugin:
    name = "credits"
    version = "0.1.0"

    def initialize(self, context: PluginContext) -> None:
        ledger = context.service("ledger", Ledger)
        realtime = context.service("realtime", Realtime)
        # A Protocol cannot be asked for by type: it is the service's own runtime, whichever it is.
        runtime: Runtime = context.service("runtime", object)  # type: ignore[assignment]
        measures = LedgerMeasures(context, runtime, ledger)
        context.register_module("credits", ledger)
        context.register_routes(credit_routes(CreditRouteSupport(ledger, measures, runtime)))
        missed = MissedBalances(runtime, ledger, realtime)
        context.register_hook(LEDGER_COMMITTED, BalanceAnnouncements(context, realtime, missed).committed)
        context.register_hook(SERVICE_STARTED, missed.begin)
        context.register_hook(LEDGER_COMMITTED, measures.committed)
        context.register_hook(SERVICE_STARTED, BalanceMeasures(context, runtime, ledger, measures).begin)


_fits: Plugin = CreditsPlugin()
