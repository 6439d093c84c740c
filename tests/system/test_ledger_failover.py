"""The ledger on a real replica set of three whose primary dies, or sleeps through the election of another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import pytest

from adapters.mongo.driver.client import Bounds
from adapters.mongo.ledger.journal import COLLECTION
from ports.runtime import Runtime
from tests.conformance.identity import database_of_its_own
from tests.conformance.runtimes import Driver, run_real
from tests.servers.mongod_node import MongodNode
from tests.servers.replica_set import ReplicaSet
from tests.system.live_ledger import (
    AGAIN_S,
    PATIENCE_S,
    two_processes_and_a_crowd,
    unknown_of,
    until,
)

__all__ = ["run_real"]


@pytest.fixture(scope="module")
def replica_set() -> Iterator[ReplicaSet]:
    """A test that takes a node from it gives it back."""
    server = ReplicaSet()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture
def whole(replica_set: ReplicaSet) -> ReplicaSet:
    """With all its nodes, so that one can be spared."""
    replica_set.wait_for_all()
    return replica_set


@pytest.mark.parametrize("run_real", ["asyncio"], indirect=True)
def test_a_primary_killed_in_an_append_loses_and_repeats_nothing(whole: ReplicaSet, run_real: Driver) -> None:
    with database_of_its_own(whole) as url:

        async def main(runtime: Runtime) -> None:
            # The service's own bounds: a call may wait for the next primary, and hardly a client notices.
            async with two_processes_and_a_crowd(runtime, whole, url, Bounds()) as (first, _, crowd):
                primary = await runtime.run_in_thread(whole.wait_for_primary)
                first.journal.before_next = primary.kill
                await until(runtime, lambda: not primary.running, "an append in which the primary dies")
                await crowd.goes_on()
                assert await runtime.run_in_thread(whole.wait_for_primary) is not primary
                start(primary)

        run_real(main)


@pytest.mark.parametrize("run_real", ["asyncio"], indirect=True)
def test_a_primary_that_sleeps_through_an_election_changes_nothing_when_it_wakes(
    whole: ReplicaSet, run_real: Driver
) -> None:
    with database_of_its_own(whole) as url:

        async def main(runtime: Runtime) -> None:
            async with two_processes_and_a_crowd(runtime, whole, url) as (first, _, crowd):
                primary = await runtime.run_in_thread(whole.wait_for_primary)
                first.journal.before_next = primary.freeze
                try:
                    await until(runtime, lambda: unknown_of(crowd) > 0, "an unknown result")
                    await runtime.run_in_thread(partial(whole.wait_for_primary, but=primary))
                    await crowd.goes_on()
                finally:
                    # It takes itself for the primary still, and the append waits at its door.
                    primary.thaw()

        run_real(main)


@pytest.mark.parametrize("run_real", ["asyncio"], indirect=True)
def test_what_only_a_dead_primary_had_is_undone_and_posted_anew(whole: ReplicaSet, run_real: Driver) -> None:
    with database_of_its_own(whole) as url:

        async def main(runtime: Runtime) -> None:
            async with two_processes_and_a_crowd(runtime, whole, url) as (first, _, crowd):
                primary = await runtime.run_in_thread(whole.wait_for_primary)
                others = whole.others_than(primary)
                count = partial(whole.count, primary, first.driver.database, COLLECTION)
                shared: list[int] = []

                def leave_it_alone() -> None:
                    kill(others)
                    shared.append(count())

                first.journal.before_next = leave_it_alone
                await until(runtime, lambda: unknown_of(crowd) > 0, "an unknown result")
                # That may be of an append which one of the others had before it died. It has to have more.
                async with runtime.deadline(PATIENCE_S):
                    while not shared or await runtime.run_in_thread(count) <= shared[0]:
                        await runtime.sleep(AGAIN_S)
                await runtime.run_in_thread(partial(whole.sync, primary))
                primary.kill()
                start(*others)
                await crowd.goes_on()
                start(primary)
                await runtime.run_in_thread(whole.wait_for_all)
                # Where mongod puts the documents that it had to undo.
                assert (primary.directory / "data" / "rollback").exists()

        run_real(main)


def kill(nodes: Sequence[MongodNode]) -> None:
    for node in nodes:
        node.kill()


def start(*nodes: MongodNode) -> None:
    """From this thread, though it blocks: a server ends with the thread that started it."""
    for node in nodes:
        node.start()
