"""What operators see of all accounts together, whichever process wrote it."""

from __future__ import annotations

from adapters.memory.metrics import MemoryMetrics
from domain.ledger.account import Account, AccountState, ActiveHold, Holdings
from plugins.credits.balances import BOUNDS, CHECKPOINT_S, BalanceMeasures
from plugins.credits.held import ROUNDS_UNSETTLED_MAX, HeldTotals
from plugins.credits.measures import LedgerMeasures
from plugins.plugin import PluginContext
from ports.metrics import Instrument, Metric
from tests.simulation.ledger_world import Service, grant, opening, posted, until_answered
from tests.simulation.runtime.simulated_runtime import Simulation
from tests.simulation.unreliable_store import Faults, Outside


class Context:
    """What of a plugin's context measures use."""

    def __init__(self) -> None:
        self.metrics = MemoryMetrics()

    def register_metric(self, metric: Metric) -> Instrument:
        return self.metrics.register(metric)


def test_what_another_process_wrote_is_seen_within_seconds() -> None:
    simulation = Simulation(1)
    outside = Outside(simulation, Faults())
    seen = Context()

    async def world() -> None:
        writer, watcher = await Service(outside, "writer").start(), await Service(outside, "watcher").start()
        posted(await until_answered(lambda: writer, opening("alice")))
        posted(await until_answered(lambda: writer, grant("alice", 50, key="g")))

        async def watch() -> None:
            context: PluginContext = seen  # type: ignore[assignment]  # only metrics are registered
            measures = LedgerMeasures(context, watcher.runtime, watcher.ledger)
            BalanceMeasures(context, watcher.runtime, watcher.ledger, measures).begin(None)

        await watcher.runtime.start(watch, name="watch").wait()
        await simulation.outside.sleep(3 * CHECKPOINT_S)

    simulation.run(world)
    within = tuple(int(bound >= 50) for bound in BOUNDS)
    assert seen.metrics.distribution("credit_account_balance", "GEMS") == (within, 1, 50)
    assert seen.metrics.value("credit_ledger_drift") == 0


def holding(name: str, held: int) -> AccountState:
    hold = ActiveHold("h", held, 10**15, ())
    return AccountState(Account(name, "GEMS"), 100, held, 1, 1, Holdings(holds=(hold,) if held else ()))


def test_what_a_census_found_beyond_this_process_is_added_to_what_it_knows() -> None:
    totals = HeldTotals()
    totals.see("main", holding("a", 5))
    totals.settle("GEMS", 12, totals.mark())
    assert totals.of("GEMS") == 12
    totals.see("main", holding("a", 0))
    assert totals.of("GEMS") == 7


def test_a_census_that_may_not_have_seen_the_last_change_waits_for_the_next() -> None:
    totals = HeldTotals()
    mark = totals.mark()
    totals.see("main", holding("a", 5))
    totals.settle("GEMS", 0, mark)
    assert totals.of("GEMS") == 5


def test_where_holds_change_all_the_time_a_census_counts_in_the_end() -> None:
    totals = HeldTotals()
    for _ in range(ROUNDS_UNSETTLED_MAX + 1):
        mark = totals.mark()
        totals.see("main", holding("a", 5))
        totals.settle("GEMS", 9, mark)
    assert totals.of("GEMS") == 9
