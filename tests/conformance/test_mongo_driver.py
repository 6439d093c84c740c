"""What the seam promises over every client: PyMongo and Motor on asyncio, PyMongo in threads on trio."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, closing, contextmanager
from typing import Any

import pytest
from pymongo.errors import BulkWriteError, DocumentTooLarge, OperationFailure, WriteConcernError

from adapters.mongo.driver.client import Bounds, ClientDriver
from adapters.mongo.driver.connect import DriverName
from adapters.mongo.driver.errors import DuplicateKey, NotPermitted
from adapters.mongo.driver.interface import Concern, Index, MongoTransaction, Updated, UpdateOne
from adapters.mongo.identity import api_keys, sessions
from adapters.mongo.indexes import create_indexes
from adapters.mongo.ledger import journal
from adapters.mongo.pools import MongoLogin, MongoPools, connect_pools
from adapters.mongo.probes import MongoProbe
from ports.errors import ConnectionFault, DependencyUnavailable, OutcomeUnknown
from ports.runtime import Runtime
from tests.conformance.encryption import mongo_api_keys, mongo_sessions
from tests.conformance.identity import connect_as_app, database_of_its_own
from tests.conformance.runtimes import Driver
from tests.servers.mongod import MongodServer
from tests.servers.replica_set import ReplicaSet

BY_NAME = Index("by_name", (("name", 1),), unique=True)
HASTY = Bounds(
    operation_timeout_ms_max=1_000, transaction_timeout_ms_max=2_000, server_selection_timeout_ms_max=1_000
)

Body = Callable[[ClientDriver, Runtime], Awaitable[None]]
OnMongo = Callable[..., None]


@pytest.fixture(params=["pymongo", "motor"])
def on_mongo(request: pytest.FixtureRequest, run_real: Driver, mongod: MongodServer) -> OnMongo:
    name: DriverName = request.param

    def run(body: Body, bounds: Bounds | None = None) -> None:
        with database_of_its_own(mongod) as url:

            async def main(runtime: Runtime) -> None:
                driver = await connect_as_app(runtime, mongod, url, name, bounds)
                try:
                    await driver.collection("things").create_indexes([BY_NAME])
                    await body(driver, runtime)
                finally:
                    await driver.close()

            run_real(main)

    return run


@contextmanager
def failing(mongod: MongodServer, commands: list[str], **how: Any) -> Iterator[None]:
    """The server fails these commands of the service's clients, in the way MongoDB's own tests do."""
    with mongod.client(mongod.root) as client:
        data = {"failCommands": commands, "appName": "credit-system", **how}
        client.admin.command({"configureFailPoint": "failCommand", "mode": "alwaysOn", "data": data})
        try:
            yield
        finally:
            client.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


# --- calls


def test_what_is_written_is_read_back(on_mongo: OnMongo) -> None:
    async def body(driver: ClientDriver, _: Runtime) -> None:
        things = driver.collection("things")
        await things.insert_one({"_id": 1, "name": "a", "big": 2**60})
        await things.insert_many([{"_id": 2, "name": "b"}, {"_id": 3, "name": "c"}])
        await things.insert_many([])
        assert await things.find_one({"_id": 1}) == {"_id": 1, "name": "a", "big": 2**60}
        assert await things.find_one({"_id": 9}) is None
        assert await things.find_one({}, sort=(("_id", -1),), projection={"name": 1}) == {
            "_id": 3,
            "name": "c",
        }
        newest = await things.find({"_id": {"$gt": 1}}, sort=(("_id", -1),), limit=1, hint="_id_")
        assert newest == [{"_id": 3, "name": "c"}]
        assert await things.count({}) == 3
        assert await things.count({}, limit=2) == 2
        assert await things.aggregate([{"$group": {"_id": None, "n": {"$sum": "$_id"}}}]) == [
            {"_id": None, "n": 6}
        ]
        local = driver.collection("things", concern=Concern.LOCAL)
        await local.insert_one({"_id": 4, "name": "d"})
        assert await local.find_one({"_id": 4}) == {"_id": 4, "name": "d"}

    on_mongo(body)


def test_changes_say_what_they_changed(on_mongo: OnMongo) -> None:
    async def body(driver: ClientDriver, _: Runtime) -> None:
        things = driver.collection("things")
        await things.insert_many([{"_id": at, "name": f"n{at}", "v": 0} for at in range(4)])
        assert await things.update_one({"_id": 0}, {"$set": {"v": 0}}) == Updated(1, 0, 0)
        assert await things.update_one({"_id": 9}, {"$set": {"v": 1}}) == Updated(0, 0, 0)
        assert await things.update_one({"_id": 9}, {"$set": {"name": "n9"}}, upsert=True) == Updated(0, 0, 1)
        assert await things.update_one({"_id": 0}, [{"$set": {"v": {"$add": ["$v", 5]}}}]) == Updated(1, 1, 0)
        assert await things.update_many({"v": 0}, {"$inc": {"v": 1}}) == Updated(3, 3, 0)
        after = await things.find_one_and_update({"_id": 1}, {"$inc": {"v": 1}}, projection={"v": 1})
        assert after == {"_id": 1, "v": 2}
        before = await things.find_one_and_update({"_id": 1}, {"$inc": {"v": 1}}, return_after=False)
        assert before == {"_id": 1, "name": "n1", "v": 2}
        bulk = [
            UpdateOne({"_id": 2}, {"$inc": {"v": 1}}),
            UpdateOne({"_id": 8}, {"$set": {"name": "n8"}}, True),
        ]
        assert await things.bulk_write(bulk) == Updated(1, 1, 1)
        assert await things.bulk_write([]) == Updated(0, 0, 0)
        assert await things.delete_one({"_id": 8}) == 1
        assert await things.delete_many({}) == 5

    on_mongo(body)


def test_raw_documents_are_read_and_written_as_they_are(on_mongo: OnMongo) -> None:
    async def body(driver: ClientDriver, _: Runtime) -> None:
        await driver.collection("things").insert_one({"_id": 1, "name": "a"})
        raw = await driver.collection("things", raw=True).find_one({"_id": 1})
        assert raw is not None
        assert raw["name"] == "a"
        await driver.collection("copies").insert_one(raw)
        assert await driver.collection("copies").find_one({}) == {"_id": 1, "name": "a"}

    on_mongo(body)


def test_a_unique_index_names_itself_and_the_first_refused(on_mongo: OnMongo) -> None:
    async def body(driver: ClientDriver, _: Runtime) -> None:
        things = driver.collection("things")
        await things.insert_one({"_id": 1, "name": "a"})
        with pytest.raises(DuplicateKey) as one:
            await things.insert_one({"_id": 2, "name": "a"})
        assert (one.value.index, one.value.key_pattern, one.value.key_value) == (
            "by_name", {"name": 1}, {"name": "a"},
        )  # fmt: skip
        with pytest.raises(DuplicateKey) as by_id:
            await things.insert_one({"_id": 1, "name": "z"})
        assert by_id.value.index == "_id_"
        with pytest.raises(DuplicateKey) as many:
            await things.insert_many([{"_id": 3, "name": "c"}, {"_id": 4, "name": "a"}])
        assert (many.value.index, many.value.position) == ("by_name", 1)
        with pytest.raises(DuplicateKey):
            await things.find_one_and_update({"_id": 3}, {"$set": {"name": "a"}})

    on_mongo(body)


def test_errors_of_the_caller_pass_through(on_mongo: OnMongo) -> None:
    async def body(driver: ClientDriver, _: Runtime) -> None:
        things = driver.collection("things")
        with pytest.raises(DocumentTooLarge):
            await things.insert_one({"_id": 1, "name": "x" * (17 * 1024 * 1024)})
        with pytest.raises(OperationFailure):
            await things.find({"$no_such_operator": 1})

    on_mongo(body)


def test_indexes_are_created_once_and_never_silently_changed(on_mongo: OnMongo) -> None:
    async def body(driver: ClientDriver, _: Runtime) -> None:
        await create_indexes(driver, [{"things": (BY_NAME,)}, {"others": (Index("by_x", (("x", -1),)),)}])
        assert not await create_indexes(driver, [{"things": (BY_NAME,)}])
        found = await create_indexes(driver, [{"things": (Index("by_name", (("name", 1),)),)}])
        assert [str(each) for each in found] == [
            "things.by_name differs: unique is True and should be not set"
        ]
        with pytest.raises(OperationFailure):
            await driver.collection("things").create_indexes([Index("by_name", (("name", 1),))])

    on_mongo(body)


# --- transactions


def test_a_transaction_shows_all_or_nothing(on_mongo: OnMongo) -> None:
    async def body(driver: ClientDriver, _: Runtime) -> None:
        things = driver.collection("things")

        async def two(transaction: MongoTransaction) -> str:
            inside = transaction.collection("things")
            await inside.insert_one({"_id": 1, "name": "a"})
            assert await things.find_one({"_id": 1}) is None
            assert await inside.find_one({"_id": 1}) is not None
            await inside.insert_one({"_id": 2, "name": "b"})
            return "done"

        assert await driver.transaction(two) == "done"
        assert await things.count({}) == 2

        async def refused(transaction: MongoTransaction) -> None:
            await transaction.collection("things").insert_one({"_id": 3, "name": "c"})
            await transaction.collection("things").insert_one({"_id": 4, "name": "a"})

        with pytest.raises(DuplicateKey):
            await driver.transaction(refused)

        async def raising(transaction: MongoTransaction) -> None:
            await transaction.collection("things").insert_one({"_id": 5, "name": "e"})
            raise LookupError

        with pytest.raises(LookupError):
            await driver.transaction(raising)
        assert await things.count({}) == 2

    on_mongo(body)


def test_transactions_in_conflict_all_come_through(on_mongo: OnMongo) -> None:
    async def body(driver: ClientDriver, runtime: Runtime) -> None:
        things = driver.collection("things")
        await things.insert_one({"_id": 1, "name": "counter", "n": 0})

        async def increment(transaction: MongoTransaction) -> None:
            inside = transaction.collection("things")
            found = await inside.find_one({"_id": 1})
            assert found is not None
            await inside.update_one({"_id": 1}, {"$set": {"n": found["n"] + 1}})

        tasks = [runtime.start(lambda: driver.transaction(increment), name="increment") for _ in range(6)]
        for task in tasks:
            await task.wait()
        assert await things.find_one({"_id": 1}) == {"_id": 1, "name": "counter", "n": 6}

    on_mongo(body)


def test_a_cancelled_transaction_is_undone_and_holds_no_lock(on_mongo: OnMongo) -> None:
    async def body(driver: ClientDriver, runtime: Runtime) -> None:
        things = driver.collection("things")
        await things.insert_one({"_id": 1, "name": "a", "n": 0})
        written, never = runtime.event(), runtime.event()

        async def hang(transaction: MongoTransaction) -> None:
            await transaction.collection("things").update_one({"_id": 1}, {"$inc": {"n": 1}})
            written.set()
            await never.wait()

        hanging = runtime.start(lambda: driver.transaction(hang), name="hanging")
        await written.wait()
        hanging.cancel()
        # A lock still held would make this wait for its time-out.
        assert await things.update_one({"_id": 1}, {"$inc": {"n": 10}}) == Updated(1, 1, 0)
        assert await things.find_one({"_id": 1}) == {"_id": 1, "name": "a", "n": 10}

    on_mongo(body)


def test_a_commit_without_an_answer_is_an_unknown_outcome(on_mongo: OnMongo, mongod: MongodServer) -> None:
    async def body(driver: ClientDriver, _: Runtime) -> None:
        async def write(transaction: MongoTransaction) -> None:
            await transaction.collection("things").insert_one({"_id": 1, "name": "a"})

        with failing(mongod, ["commitTransaction"], closeConnection=True), pytest.raises(OutcomeUnknown):
            await driver.transaction(write)
        # The server would keep the open transaction, and its locks, for a minute.
        with mongod.client(mongod.root) as client:
            client.admin.command({"killAllSessions": []})

    on_mongo(body, HASTY)


# --- outside trouble


def test_a_write_without_an_answer_is_an_unknown_outcome(on_mongo: OnMongo, mongod: MongodServer) -> None:
    async def body(driver: ClientDriver, _: Runtime) -> None:
        things = driver.collection("things")
        with failing(mongod, ["insert", "find"], closeConnection=True):
            with pytest.raises(OutcomeUnknown):
                await things.insert_one({"_id": 1, "name": "a"})
            with pytest.raises(DependencyUnavailable) as read:
                await things.find_one({"_id": 1})
            assert not isinstance(read.value, OutcomeUnknown)

    on_mongo(body, HASTY)


def test_a_write_that_no_majority_confirmed_is_an_unknown_outcome(
    on_mongo: OnMongo, mongod: MongodServer
) -> None:
    async def body(driver: ClientDriver, _: Runtime) -> None:
        things = driver.collection("things")
        concern_error = {"code": 64, "errmsg": "waiting for replication timed out"}
        with failing(mongod, ["insert"], writeConcernError=concern_error):
            with pytest.raises(OutcomeUnknown) as one:
                await things.insert_one({"_id": 1, "name": "a"})
            with pytest.raises(OutcomeUnknown) as many:
                await things.insert_many([{"_id": 2, "name": "b"}])
        assert isinstance(one.value.__cause__, WriteConcernError)
        assert isinstance(many.value.__cause__, BulkWriteError)

    on_mongo(body, HASTY)


def test_a_server_that_blocks_is_given_up_in_bounded_time(on_mongo: OnMongo, mongod: MongodServer) -> None:
    async def body(driver: ClientDriver, _: Runtime) -> None:
        blocked = failing(mongod, ["find"], blockConnection=True, blockTimeMS=3_000)
        with blocked, pytest.raises(DependencyUnavailable):
            await driver.collection("things").find_one({})

    on_mongo(body, HASTY)


def test_one_lost_answer_is_retried_without_anybody_noticing(on_mongo: OnMongo, mongod: MongodServer) -> None:
    async def body(driver: ClientDriver, _: Runtime) -> None:
        once = {"failCommands": ["insert"], "appName": "credit-system", "closeConnection": True}
        with mongod.client(mongod.root) as client:
            client.admin.command({"configureFailPoint": "failCommand", "mode": {"times": 1}, "data": once})
        await driver.collection("things").insert_one({"_id": 1, "name": "a"})
        assert await driver.collection("things").count({}) == 1

    on_mongo(body)


def test_a_stopped_server_is_told_and_found_again(on_mongo: OnMongo, mongod: MongodServer) -> None:
    async def body(driver: ClientDriver, runtime: Runtime) -> None:
        things, probe = driver.collection("things"), MongoProbe(driver=driver, role="read_write")
        await probe.check()
        mongod.kill()
        try:
            with pytest.raises(DependencyUnavailable):
                await probe.check()
            with pytest.raises(DependencyUnavailable):
                await things.insert_one({"_id": 1, "name": "a"})
        finally:
            mongod.start()
        async with runtime.deadline(20):
            while not await _answers(probe):
                await runtime.sleep(0.05)
        await things.insert_one({"_id": 2, "name": "b"})

    on_mongo(body, HASTY)


async def _answers(probe: MongoProbe) -> bool:
    try:
        await probe.check()
    except DependencyUnavailable:
        return False
    return True


def test_a_closed_driver_is_unavailable(on_mongo: OnMongo) -> None:
    async def body(driver: ClientDriver, _: Runtime) -> None:
        await driver.close()
        with pytest.raises(DependencyUnavailable):
            await driver.collection("things").find_one({})
        with pytest.raises(DependencyUnavailable):
            await driver.command({"ping": 1})

    on_mongo(body)


# --- roles


def test_each_pool_may_do_what_its_role_may(run_real: Driver, mongod: MongodServer) -> None:
    with database_of_its_own(mongod) as url:

        async def body(runtime: Runtime) -> None:
            pools = await connect_pools(
                runtime=runtime,
                url=url,
                read_write=MongoLogin(mongod.app.user, mongod.app.password),
                read_only=MongoLogin(mongod.analytics.user, mongod.analytics.password),
                admin=MongoLogin(mongod.admin.user, mongod.admin.password),
            )
            try:
                await pools.read_write.collection("things").insert_one({"_id": 1})
                assert await pools.read_only.collection("things").find_one({}) == {"_id": 1}
                with pytest.raises(NotPermitted):
                    await pools.read_only.collection("things").insert_one({"_id": 2})
                await pools.admin.collection("things").insert_one({"_id": 3})
                for probe in pools.probes():
                    await probe.check()
                assert [(probe.name, probe.role) for probe in pools.probes()] == [
                    ("mongo", "read_write"), ("mongo", "read_only"), ("mongo", "admin"),
                ]  # fmt: skip
            finally:
                await pools.close()

        run_real(body)


def test_what_every_worker_asks_again_and_again_is_answered_by_indexes(
    run_real: Driver, mongod: MongodServer
) -> None:
    with database_of_its_own(mongod) as url, mongod.client(mongod.root) as root:

        async def body(runtime: Runtime) -> None:
            driver = await connect_as_app(runtime, mongod, url, "pymongo")
            await create_indexes(driver, [sessions.INDEXES, api_keys.INDEXES, journal.INDEXES])
            kept, keys = mongo_sessions(driver), mongo_api_keys(driver)
            documents = journal.MongoJournal(driver)
            root[driver.database].command({"profile": 2})
            try:
                await kept.revoked_since(1, limit=10)
                await keys.revoked_since(1, limit=10)
                await kept.ended_among(["ses_a", "ses_b"], now_ms=1)
                await documents.last_seq("main")
                await documents.named("main", 1, 9, limit=9)
            finally:
                root[driver.database].command({"profile": 0})
                await driver.close()
            profiled = root[driver.database]["system.profile"].find({"op": "query"})
            plans = [each["planSummary"] for each in profiled]
            assert len(plans) == 5
            assert [plan for plan in plans if not plan.startswith("IXSCAN")] == []

        run_real(body)


async def down(probes: Sequence[MongoProbe]) -> list[str]:
    return [probe.role for probe in probes if not await _answers(probe)]


@asynccontextmanager
async def pools_of(runtime: Runtime, mongod: MongodServer, url: str) -> AsyncIterator[MongoPools]:
    pools = await connect_pools(
        runtime=runtime,
        url=url,
        read_write=MongoLogin(mongod.app.user, mongod.app.password),
        read_only=MongoLogin(mongod.analytics.user, mongod.analytics.password),
        admin=MongoLogin(mongod.admin.user, mongod.admin.password),
    )
    try:
        yield pools
    finally:
        await pools.close()


def test_a_mongod_that_answers_and_writes_nothing_is_down_for_those_who_write(
    run_real: Driver, mongod: MongodServer
) -> None:
    with database_of_its_own(mongod) as url, mongod.client(mongod.root) as root:

        async def body(runtime: Runtime) -> None:
            async with pools_of(runtime, mongod, url) as pools:
                assert await down(pools.probes()) == []
                root.admin.command({"fsync": 1, "lock": True})
                try:
                    assert root.admin.command({"ping": 1})["ok"]
                    assert await down(pools.probes()) == ["read_write", "admin"]
                finally:
                    root.admin.command({"fsyncUnlock": 1})
                assert await down(pools.probes()) == []

        run_real(body)


def test_a_role_that_was_taken_away_is_down(run_real: Driver, mongod: MongodServer) -> None:
    with database_of_its_own(mongod) as url, mongod.client(mongod.root) as root:
        roles = {
            user: root.admin.command({"usersInfo": user})["users"][0]["roles"]
            for user in (mongod.app.user, mongod.analytics.user, mongod.admin.user)
        }

        async def body(runtime: Runtime) -> None:
            async with pools_of(runtime, mongod, url) as pools:
                assert await down(pools.probes()) == []
                for (user, held), role in zip(
                    roles.items(), ("read_write", "read_only", "admin"), strict=True
                ):
                    root.admin.command({"updateUser": user, "roles": []})
                    try:
                        assert await down(pools.probes()) == [role]
                    finally:
                        root.admin.command({"updateUser": user, "roles": held})

        run_real(body)


@pytest.mark.parametrize("run_real", ["asyncio"], indirect=True)
def test_a_primary_without_its_majority_is_down_for_those_who_write(run_real: Driver) -> None:
    with closing(ReplicaSet()) as replica_set:
        replica_set.start()
        replica_set.wait_for_all()
        primary = replica_set.wait_for_primary()

        async def body(runtime: Runtime) -> None:
            async with pools_of(runtime, replica_set, replica_set.url) as pools:
                assert await down(pools.probes()) == []
                for other in replica_set.others_than(primary):
                    other.freeze()
                try:
                    assert "read_write" in await down(pools.probes())
                finally:
                    for other in replica_set.others_than(primary):
                        other.thaw()
                async with runtime.deadline(20):
                    while await down(pools.probes()):
                        await runtime.sleep(0.05)

        run_real(body)


def test_a_wrong_password_is_told_without_naming_it(run_real: Driver, mongod: MongodServer) -> None:
    async def body(runtime: Runtime) -> None:
        wrong = MongoLogin(mongod.app.user, "not-the-password")
        assert "not-the-password" not in repr(wrong)
        pools = await connect_pools(
            runtime=runtime, url=mongod.url, read_write=wrong, read_only=wrong, admin=wrong
        )
        try:
            with pytest.raises(NotPermitted) as refused:
                await pools.read_write.collection("things").find_one({})
            told = ConnectionFault.LOGIN.value
            assert str(refused.value) == f"mongo: 127.0.0.1:{mongod.port}: {told} (as read_write)"
        finally:
            await pools.close()

    run_real(body)
