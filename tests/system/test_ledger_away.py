"""The ledger on a real MongoDB that is slow, silent, or refuses every connection."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import pytest

from adapters.mongo.driver.client import Bounds
from adapters.mongo.ledger.checkpoints import COLLECTION
from application.ledger import local_submitter
from application.ledger.orders import AccountOrder, GrantOrder
from domain.ledger.commit.machine import CommitLimits
from ports.runtime import Runtime
from tests.conformance.identity import database_of_its_own
from tests.conformance.runtimes import Driver, run_real
from tests.servers.fault_proxy import Cut, FaultProxy
from tests.servers.mongod import MongodServer
from tests.system.ledger_audit import BOOK
from tests.system.live_ledger import (
    AGAIN_S,
    ASSET,
    CLIENTS,
    FUNDS,
    HASTY,
    LARGE_BYTES,
    PATIENCE_S,
    WHO,
    live_ledger,
    posted,
    proxied,
    two_processes_and_a_crowd,
    unknown_of,
    until,
)

__all__ = ["run_real"]

BEARABLE_S: Final = 0.05
UNBEARABLE_S: Final = HASTY.operation_timeout_ms_max / 1000 * 2

AWAY: Final[Mapping[str, Callable[[FaultProxy], None]]] = {
    "too slow": lambda proxy: proxy.delay(UNBEARABLE_S),
    "silent": FaultProxy.freeze,
    "refused": FaultProxy.refuse,
}
"""When it heals, what was slow or frozen arrives: long after its sender gave it up and decided anew."""


@pytest.fixture
def gives_up_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger gives an append up after one try, so that outages need not be longer than its patience."""
    monkeypatch.setattr(local_submitter, "LIMITS", CommitLimits(append_s_max=0.3))


@pytest.mark.parametrize("run_real", ["asyncio"], indirect=True)
def test_a_slow_mongo_makes_clients_wait_and_tells_none_that_nobody_knows(
    mongod: MongodServer, run_real: Driver
) -> None:
    with database_of_its_own(mongod) as url, proxied(mongod, url) as (proxy, through):

        async def main(runtime: Runtime) -> None:
            async with two_processes_and_a_crowd(runtime, mongod, through, Bounds()) as (_, _, crowd):
                proxy.delay(BEARABLE_S)
                await crowd.goes_on()
                assert (unknown_of(crowd), crowd.unanswered) == (0, 0)
                proxy.heal()

        run_real(main)


@pytest.mark.usefixtures("gives_up_at_once")
@pytest.mark.parametrize("how", AWAY)
def test_what_was_asked_while_mongo_was_away_is_there_once_or_not_at_all(
    how: str, mongod: MongodServer, run_real: Driver
) -> None:
    with database_of_its_own(mongod) as url, proxied(mongod, url) as (proxy, through):

        async def main(runtime: Runtime) -> None:
            async with two_processes_and_a_crowd(runtime, mongod, through) as (first, _, crowd):
                first.journal.before_next = partial(AWAY[how], proxy)
                await until(runtime, lambda: unknown_of(crowd) >= 1, "an unknown result")
                await until(runtime, lambda: crowd.unanswered >= CLIENTS, "clients that were not answered")
                proxy.heal()

        run_real(main)


@pytest.mark.parametrize("run_real", ["asyncio"], indirect=True)
@pytest.mark.usefixtures("gives_up_at_once")
def test_a_process_that_starts_in_the_middle_needs_the_journal_alone(
    mongod: MongodServer, run_real: Driver
) -> None:
    with database_of_its_own(mongod) as url, proxied(mongod, url) as (proxy, through):

        async def main(runtime: Runtime) -> None:
            async with (
                # Connected, and knowing nothing: it reads no book before it is asked.
                live_ledger(runtime, mongod, url) as fresh,
                two_processes_and_a_crowd(runtime, mongod, through) as (_, _, crowd),
            ):
                proxy.cut(Cut.ANSWER, large_bytes=LARGE_BYTES)
                await until(runtime, lambda: crowd.unanswered >= CLIENTS, "clients that were not answered")
                proxy.heal()
                # The others still have orders under way when their clients turn to the new one.
                await fresh.forget_checkpoints()
                crowd.ledgers[:] = [fresh]
                await crowd.goes_on()

        run_real(main)


@pytest.mark.parametrize("run_real", ["asyncio"], indirect=True)
def test_what_falls_due_is_recorded_though_mongo_once_refused_to_tell(
    mongod: MongodServer, run_real: Driver
) -> None:
    with database_of_its_own(mongod) as url:

        async def main(runtime: Runtime) -> None:
            async with live_ledger(runtime, mongod, url) as process:
                posted(await process.ledger.open_account(WHO, AccountOrder(ASSET, id="alice")))
                expires_ms = process.ledger.now_ms() + 1_500
                order = GrantOrder("alice", FUNDS, "promotional", 50, "grant", expires_ms=expires_ms)
                posted(await process.ledger.grant(WHO, order))
                head = await process.journal.head(BOOK)
                # As when an operator kills the query: an error that is nobody's absence.
                await runtime.run_in_thread(interrupt_a_find, mongod, process.driver.database)
                async with runtime.deadline(PATIENCE_S):
                    while await process.journal.head(BOOK) == head:
                        await runtime.sleep(AGAIN_S)

        run_real(main)


def interrupt_a_find(mongod: MongodServer, database: str) -> None:
    """Returns once mongod has ended a search of the checkpoints with an error."""
    where = {"failCommands": ["find"], "namespace": f"{database}.{COLLECTION}", "errorCode": 11601}
    with mongod.client(mongod.root) as client:
        point = {"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": where}
        count = client.admin.command(point)["count"]
        client.admin.command(
            {
                "waitForFailPoint": "failCommand",
                "timesEntered": count + 1,
                "maxTimeMS": int(PATIENCE_S * 1000),
            }
        )
