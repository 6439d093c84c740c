"""The ledger on a real MongoDB that does not say, or says twice, what became of an append."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import pytest

from adapters.mongo.driver.interface import MongoDriver
from adapters.mongo.ledger.journal import COLLECTION
from application.ledger import local_submitter
from application.ledger.orders import AccountOrder, GrantOrder, TransferOrder
from domain.ledger.chain import AppendResult, JournalDocument
from domain.ledger.commit.machine import CommitLimits
from domain.ledger.outcomes import Outcome, Posted
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime
from tests.conformance.identity import database_of_its_own
from tests.conformance.runtimes import Driver, run_real
from tests.servers.fault_proxy import Cut
from tests.servers.mongod import MongodServer
from tests.system.ledger_audit import BOOK, Told, entries_by_key, whole_journal
from tests.system.live_ledger import (
    ASSET,
    CLIENTS,
    FUNDS,
    LARGE_BYTES,
    WHO,
    LiveLedger,
    WatchedJournal,
    audit,
    crowd_of,
    live_ledger,
    padding,
    posted,
    proxied,
    two_processes_and_a_crowd,
    unknown_of,
    until,
)

__all__ = ["run_real"]

# With it PyMongo sends the insert again itself, until the operation's time is up.
RETRYABLE: Final = ["RetryableWriteError"]
TOO_LATE: Final = {"code": 64, "errmsg": "waiting for replication timed out"}

NOT_TOLD: Final[Mapping[str, Mapping[str, Any]]] = {
    "closed before the write": {"closeConnection": True},
    "not primary": {"errorCode": 10107, "errorLabels": RETRYABLE},
    "not primary, no label": {"errorCode": 10107, "errorLabels": []},
    "stepped down": {"errorCode": 189, "errorLabels": RETRYABLE},
    # What a node says that was restarted and cannot check cluster times yet.
    "keys not loaded": {"errorCode": 211, "errorLabels": []},
    "written, and to be tried again": {"writeConcernError": TOO_LATE, "errorLabels": RETRYABLE},
    "written, not by a majority in time": {"writeConcernError": TOO_LATE},
}
"""How `insert` fails by the `failCommand` fail point. One with a `writeConcernError` is carried out."""


@contextmanager
def fail_point(mongod: MongodServer, name: str, **data: Any) -> Iterator[None]:
    with mongod.client(mongod.root) as client:
        client.admin.command({"configureFailPoint": name, "mode": "alwaysOn", "data": data})
        try:
            yield
        finally:
            client.admin.command({"configureFailPoint": name, "mode": "off"})


@pytest.mark.parametrize("run_real", ["asyncio"], indirect=True)
@pytest.mark.parametrize("how", NOT_TOLD)
def test_an_append_whose_result_the_server_does_not_tell_happens_once(
    how: str, mongod: MongodServer, run_real: Driver
) -> None:
    with database_of_its_own(mongod) as url:

        async def main(runtime: Runtime) -> None:
            async with two_processes_and_a_crowd(runtime, mongod, url) as (process, _, crowd):
                namespace = f"{process.driver.database}.{COLLECTION}"
                where = {"failCommands": ["insert"], "namespace": namespace, "appName": "credit-system"}
                with fail_point(mongod, "failCommand", **where, **NOT_TOLD[how]):
                    await until(runtime, lambda: unknown_of(crowd) >= 2, "an unknown result")

        run_real(main)


@pytest.mark.parametrize("run_real", ["asyncio"], indirect=True)
def test_an_append_after_which_the_server_hangs_up_happens_once(
    mongod: MongodServer, run_real: Driver
) -> None:
    with database_of_its_own(mongod) as url:

        async def main(runtime: Runtime) -> None:
            async with two_processes_and_a_crowd(runtime, mongod, url) as (_, _, crowd):
                with fail_point(mongod, "onPrimaryTransactionalWrite", closeConnection=True):
                    await until(runtime, lambda: unknown_of(crowd) >= 2, "an unknown result")

        run_real(main)


@pytest.mark.parametrize("where", Cut)
def test_an_append_whose_connection_is_cut_happens_once(
    where: Cut, mongod: MongodServer, run_real: Driver
) -> None:
    with database_of_its_own(mongod) as url, proxied(mongod, url) as (proxy, through):

        async def main(runtime: Runtime) -> None:
            async with two_processes_and_a_crowd(runtime, mongod, through) as (_, _, crowd):
                proxy.cut(where, large_bytes=LARGE_BYTES)
                await until(runtime, lambda: unknown_of(crowd) >= 2, "an unknown result")
                proxy.heal()

        run_real(main)


@pytest.mark.parametrize("where", Cut)
def test_posting_again_tells_which_transfers_were_posted_when_nobody_knew(
    where: Cut, mongod: MongodServer, run_real: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The ledger itself gives up at once, so that it is the clients who do not know.
    monkeypatch.setattr(local_submitter, "LIMITS", CommitLimits(append_s_max=0.3))
    orders = [TransferOrder("alice", "bob", 7, "test", f"t-{at}", padding()) for at in range(CLIENTS)]

    with database_of_its_own(mongod) as url, proxied(mongod, url) as (proxy, through):

        async def main(runtime: Runtime) -> None:
            async with live_ledger(runtime, mongod, through) as process:

                async def post(order: TransferOrder) -> Outcome | None:
                    try:
                        return await process.ledger.transfer(WHO, order)
                    except DependencyUnavailable:
                        return None

                async def post_all() -> list[Outcome | None]:
                    tasks = [runtime.start(partial(post, order), name="client") for order in orders]
                    return [await task.wait() for task in tasks]

                await two_accounts(process)
                proxy.cut(where, large_bytes=LARGE_BYTES)
                assert await post_all() == [None] * CLIENTS
                proxy.heal()
                there = entries_by_key(await whole_journal(process.journal))
                were_there = [f"t:{order.id}" in there for order in orders]
                assert any(were_there) == (where is Cut.ANSWER)
                await until_not_away(runtime, process)
                again = [posted(outcome) for outcome in map(_told, await post_all())]
                # What was there is a repeat; so is what the ledger itself sent again first.
                assert all(outcome.replayed for outcome, was in zip(again, were_there, strict=True) if was)
                assert await post_all() == [Posted(each.recorded, replayed=True) for each in again]
                told = Told()
                for order, outcome in zip(orders, again, strict=True):
                    told.remember(order.id or "", outcome)
                await audit(process, told)

        run_real(main)


def _told(outcome: Outcome | None) -> Outcome:
    assert outcome is not None
    return outcome


async def two_accounts(process: LiveLedger) -> None:
    for account in ("alice", "bob"):
        posted(await process.ledger.open_account(WHO, AccountOrder(ASSET, id=account)))
        posted(await process.ledger.grant(WHO, GrantOrder(account, FUNDS, "paid", 50, "grant")))


async def until_not_away(runtime: Runtime, process: LiveLedger) -> None:
    """After a slow failure the ledger refuses all for a while: any write tells when that is over."""
    async with runtime.deadline(10 * local_submitter.AWAY_S):
        while True:
            try:
                await process.ledger.open_account(WHO, AccountOrder(ASSET, id="carol"))
            except DependencyUnavailable:
                await runtime.sleep(0.02)
            else:
                return


class TwiceAppending(WatchedJournal):
    """Every document is sent twice at the same moment, and one answer is told: what a network does that
    repeats a message, or a driver that repeats a write."""

    def __init__(self, driver: MongoDriver, runtime: Runtime) -> None:
        super().__init__(driver)
        self._runtime = runtime

    async def append(self, document: JournalDocument) -> AppendResult:
        once = partial(super().append, document)
        tasks = [self._runtime.start(once, name="append") for _ in range(2)]
        results = [await each.wait() for each in tasks]
        return random.choice(results)


def test_a_document_that_is_sent_twice_is_appended_once(mongod: MongodServer, run_real: Driver) -> None:
    with database_of_its_own(mongod) as url:

        async def main(runtime: Runtime) -> None:
            def twice(driver: MongoDriver) -> TwiceAppending:
                return TwiceAppending(driver, runtime)

            async with (
                live_ledger(runtime, mongod, url, journal_of=twice) as first,
                live_ledger(runtime, mongod, url, journal_of=twice) as second,
            ):
                async with crowd_of(runtime, [first, second]) as crowd:
                    await crowd.goes_on()
                    await crowd.goes_on()
                ended = first.journal.ended + second.journal.ended
                documents = await whole_journal(first.journal)
                assert ended[AppendResult.APPENDED] == len(documents)
                assert ended[AppendResult.SEQ_TAKEN] + ended[AppendResult.KEY_TAKEN] >= len(documents)
                await audit(first, crowd.told)

        run_real(main)


def test_a_document_that_comes_again_much_later_changes_nothing(
    mongod: MongodServer, run_real: Driver
) -> None:
    with database_of_its_own(mongod) as url:

        async def main(runtime: Runtime) -> None:
            async with live_ledger(runtime, mongod, url) as process:
                async with crowd_of(runtime, [process]) as crowd:
                    await crowd.goes_on()
                documents = await whole_journal(process.journal)
                for document in documents:
                    result = await process.journal.append(document)
                    assert result in (AppendResult.SEQ_TAKEN, AppendResult.KEY_TAKEN)
                head = await process.journal.head(BOOK)
                assert head == documents[-1]
                await audit(process, crowd.told)

        run_real(main)
