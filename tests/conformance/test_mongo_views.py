"""What analysts read: a view that follows its definition, and that nobody can write to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pymongo.errors import OperationFailure

from adapters.mongo.catalog import CATALOG, VIEWS
from adapters.mongo.driver.client import ClientDriver
from adapters.mongo.driver.connect import connect
from adapters.mongo.driver.errors import NotPermitted
from adapters.mongo.indexes import create_indexes
from adapters.mongo.ledger.journal import MongoJournal
from adapters.mongo.views import TRANSFERS, NotOurView, create_views
from domain.ledger.chain import AppendResult, Head, seal
from ports.runtime import Runtime
from tests.conformance.entries import every_kind_of_entry
from tests.conformance.identity import database_of_its_own
from tests.conformance.runtimes import Driver
from tests.servers.mongod import Credentials, MongodServer

RECORDED_MS = 1_700_000_000_123


@dataclass(frozen=True, slots=True)
class Roles:
    app: ClientDriver
    analytics: ClientDriver
    admin: ClientDriver


OnRoles = Callable[[Callable[[Roles], Awaitable[None]]], None]


@pytest.fixture
def roles(mongod: MongodServer, run_real: Driver) -> OnRoles:
    def on_roles(body: Callable[[Roles], Awaitable[None]]) -> None:
        with database_of_its_own(mongod) as url:

            async def main(runtime: Runtime) -> None:
                async def as_(who: Credentials) -> ClientDriver:
                    return await connect(runtime=runtime, url=url, user=who.user, password=who.password)

                drivers = Roles(await as_(mongod.app), await as_(mongod.analytics), await as_(mongod.admin))
                try:
                    await create_indexes(drivers.admin, CATALOG)
                    await body(drivers)
                finally:
                    for driver in (drivers.app, drivers.analytics, drivers.admin):
                        await driver.close()

            run_real(main)

    return on_roles


async def definition(driver: ClientDriver) -> Mapping[str, Any]:
    answer = await driver.command({"listCollections": 1, "filter": {"name": TRANSFERS.name}})
    (found,) = answer["cursor"]["firstBatch"]
    options: Mapping[str, Any] = found["options"]
    return options


async def rows(driver: ClientDriver) -> list[Mapping[str, Any]]:
    return list(await driver.collection(TRANSFERS.name).find({}, sort=(("seq", 1), ("id", 1))))


def test_each_movement_of_money_is_a_row(roles: OnRoles) -> None:
    async def body(drivers: Roles) -> None:
        await create_views(drivers.admin, VIEWS)
        entries = every_kind_of_entry()
        document = seal("main", Head(), entries, time_ms=RECORDED_MS, nonce="n")
        assert await MongoJournal(drivers.app).append(document) is AppendResult.APPENDED
        found = await rows(drivers.analytics)
        kinds = ["transfer", "issue", "lapse", "capture", "reversal", "issue"]
        assert [row["kind"] for row in found] == kinds
        assert found[0] == {
            "book": "main",
            "seq": 1,
            "recorded_at": datetime.fromtimestamp(RECORDED_MS / 1000, UTC).replace(tzinfo=None),
            "effective_at": datetime.fromtimestamp(0.041, UTC).replace(tzinfo=None),
            "id": "t-0",
            "source": "alice",
            "destination": "bob",
            "amount": 5,
            "asset": "GEMS",
            "code": "test",
            "kind": "transfer",
            "metadata": '{"$set":1}',
        }

    roles(body)


def test_what_was_not_dated_back_counts_from_when_it_was_recorded(roles: OnRoles) -> None:
    async def body(drivers: Roles) -> None:
        await create_views(drivers.admin, VIEWS)
        entry = every_kind_of_entry()[2]._replace(effective_ms=None, metadata="")  # type: ignore[call-arg]  # a transfer
        document = seal("main", Head(), [entry], time_ms=RECORDED_MS, nonce="n")
        await MongoJournal(drivers.app).append(document)
        (row,) = await rows(drivers.analytics)
        assert row["effective_at"] == row["recorded_at"]
        assert row["metadata"] is None

    roles(body)


def test_nobody_can_write_to_the_view(roles: OnRoles) -> None:
    async def body(drivers: Roles) -> None:
        await create_views(drivers.admin, VIEWS)
        with pytest.raises(NotPermitted):
            await drivers.analytics.collection(TRANSFERS.name).insert_one({"_id": 1})
        for driver in (drivers.app, drivers.admin):
            with pytest.raises(OperationFailure, match="is a view"):
                await driver.collection(TRANSFERS.name).insert_one({"_id": 1})
        with pytest.raises(NotPermitted):
            await drivers.analytics.collection("journal").insert_one({"_id": 1})

    roles(body)


def test_a_view_that_stands_as_it_should_is_left_alone(roles: OnRoles) -> None:
    async def body(drivers: Roles) -> None:
        await create_views(drivers.admin, VIEWS)
        before = await definition(drivers.admin)
        # The analysts' user may look, and change nothing: so nothing was changed.
        await create_views(drivers.analytics, VIEWS)
        assert await definition(drivers.admin) == before

    roles(body)


def test_a_view_with_another_definition_is_replaced(roles: OnRoles) -> None:
    async def body(drivers: Roles) -> None:
        older = replace(TRANSFERS, pipeline=({"$match": {"book": "main"}},))
        await create_views(drivers.admin, [older])
        with pytest.raises(NotPermitted):
            await create_views(drivers.analytics, VIEWS)
        await create_views(drivers.admin, VIEWS)
        options = await definition(drivers.admin)
        assert (options["viewOn"], options["pipeline"]) == ("journal", list(TRANSFERS.pipeline))

    roles(body)


def test_a_collection_in_the_views_place_is_not_touched(roles: OnRoles) -> None:
    async def body(drivers: Roles) -> None:
        await drivers.app.collection(TRANSFERS.name).insert_one({"_id": 1})
        with pytest.raises(NotOurView, match="transfers is a collection"):
            await create_views(drivers.admin, VIEWS)
        assert await rows(drivers.app) == [{"_id": 1}]

    roles(body)
