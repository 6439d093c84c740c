"""The indexes that the repositories declare, beside those that stand on a real server."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pymongo import MongoClient

from adapters.mongo.catalog import CATALOG
from adapters.mongo.driver.client import ClientDriver
from adapters.mongo.driver.connect import connect
from adapters.mongo.identity import users
from adapters.mongo.indexes import VitalIndexDiffers, create_indexes, differences
from ports.runtime import Runtime
from tests.conformance.identity import database_of_its_own
from tests.conformance.runtimes import Driver
from tests.servers.mongod import Credentials, MongodServer

Body = Callable[[ClientDriver, Any], Awaitable[None]]
OnDatabase = Callable[..., None]
Change = Callable[[Any], object]


@pytest.fixture
def on_database(mongod: MongodServer, run_real: Driver) -> OnDatabase:
    """Runs a body with the administrator's driver and a database of its own, seen by a root user."""

    def run_on(body: Body, who: Credentials = mongod.admin) -> None:
        with database_of_its_own(mongod) as url:

            async def main(runtime: Runtime) -> None:
                driver = await connect(runtime=runtime, url=url, user=who.user, password=who.password)
                root: MongoClient[dict[str, Any]] = mongod.client(mongod.root)
                try:
                    await body(driver, root[driver.database])
                finally:
                    root.close()
                    await driver.close()

            run_real(main)

    return run_on


async def remaining(driver: ClientDriver) -> list[str]:
    return [str(each) for each in await create_indexes(driver, CATALOG)]


def test_what_was_made_does_not_differ(on_database: OnDatabase) -> None:
    async def body(driver: ClientDriver, _: Any) -> None:
        wanted = sum(len(indexes) for declared in CATALOG for indexes in declared.values())
        assert len(await differences(driver, CATALOG)) == wanted
        assert await remaining(driver) == []
        assert await differences(driver, CATALOG) == []
        assert await remaining(driver) == []

    on_database(body)


def test_a_missing_index_is_made_again(on_database: OnDatabase) -> None:
    async def body(driver: ClientDriver, database: Any) -> None:
        await create_indexes(driver, CATALOG)
        database.users.drop_index("by_email")
        assert [str(each) for each in await differences(driver, CATALOG)] == ["users.by_email is missing"]
        assert await remaining(driver) == []
        assert await differences(driver, CATALOG) == []

    on_database(body)


DIFFERING: dict[str, tuple[str, str, dict[str, Any], Change]] = {
    "not unique": (
        "users.by_email differs: unique is not set and should be True",
        "users",
        {"name": "by_email"},
        lambda users: users.create_index("email_key", name="by_email"),
    ),
    "other fields": (
        "users.by_email differs: key is {'email': 1} and should be {'email_key': 1}",
        "users",
        {"name": "by_email"},
        lambda users: users.create_index("email", name="by_email", unique=True),
    ),
    "another order of fields": (
        "api_keys.by_book differs: key is {'_id': -1, 'book': 1} and should be {'book': 1, '_id': -1}",
        "api_keys",
        {"name": "by_book"},
        lambda keys: keys.create_index([("_id", -1), ("book", 1)], name="by_book"),
    ),
    "expires at another time": (
        "answers.purge differs: expireAfterSeconds is 60 and should be 0",
        "answers",
        {"name": "purge"},
        lambda answers: answers.create_index("purge_at", name="purge", expireAfterSeconds=60),
    ),
    "never expires": (
        "answers.purge differs: expireAfterSeconds is not set and should be 0",
        "answers",
        {"name": "purge"},
        lambda answers: answers.create_index("purge_at", name="purge"),
    ),
    "of all documents": (
        "accounts.due differs: partialFilterExpression is not set and should be {'due': {'$exists': True}}",
        "accounts",
        {"name": "due"},
        lambda accounts: accounts.create_index("due", name="due"),
    ),
    "under another name": (
        "users.by_email is missing, and cannot be made: IndexOptionsConflict (code 85)",
        "users",
        {"name": "by_email"},
        lambda users: users.create_index("email_key", name="email", unique=True),
    ),
}


@pytest.mark.parametrize("case", DIFFERING)
def test_what_differs_is_named_and_logged_and_all_else_is_made(
    on_database: OnDatabase, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    expected, collection, index, change = DIFFERING[case]

    async def body(driver: ClientDriver, database: Any) -> None:
        change(database[collection])
        with caplog.at_level(logging.WARNING, "credit.mongo"):
            assert await remaining(driver) == [expected]
        assert [record.getMessage() for record in caplog.records] == [f"MongoDB: the index {expected}"]
        found = await differences(driver, CATALOG)
        assert [(each.collection, each.index.name) for each in found] == [(collection, index["name"])]

    on_database(body)


def test_a_hidden_index_is_named(on_database: OnDatabase) -> None:
    async def body(driver: ClientDriver, database: Any) -> None:
        await create_indexes(driver, CATALOG)
        database.command("collMod", "accounts", index={"name": "due", "hidden": True})
        assert await remaining(driver) == ["accounts.due differs: hidden is True and should be not set"]

    on_database(body)


def test_documents_that_share_a_key_are_named_as_the_reason(on_database: OnDatabase) -> None:
    async def body(driver: ClientDriver, database: Any) -> None:
        database.users.insert_many([{"email_key": "a", "username_key": name} for name in "xy"])
        assert await remaining(driver) == [
            "users.by_email is missing, and cannot be made: documents that stand there have the same key"
        ]

    on_database(body)


def test_a_user_who_may_not_make_indexes_is_named_as_the_reason(
    on_database: OnDatabase, mongod: MongodServer
) -> None:
    async def body(driver: ClientDriver, _: Any) -> None:
        found = [str(each) for each in await create_indexes(driver, [users.INDEXES])]
        assert len(found) == 2
        assert all("cannot be made" in each and "createIndexes" in each for each in found), found

    on_database(body, mongod.analytics)


@pytest.mark.parametrize("fields", [["book", "seq"], ["book", "entries.keys"]], ids="+".join)
def test_nothing_starts_without_the_indexes_that_fence_the_journal(
    on_database: OnDatabase, fields: list[str]
) -> None:
    async def body(driver: ClientDriver, database: Any) -> None:
        name = {"seq": "book_seq", "entries.keys": "book_entry_keys"}[fields[1]]
        database.journal.create_index([(field, 1) for field in fields], name=name)
        with pytest.raises(VitalIndexDiffers, match=rf"journal\.{name} differs: unique"):
            await create_indexes(driver, CATALOG)

    on_database(body)
