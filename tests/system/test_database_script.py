"""`init-scripts/mongodb-init.js`, run by MongoDB's shell against a real server, and what it makes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from bson.int64 import Int64
from pymongo.errors import WriteError

from composition.commands.database_definition import definition, page
from tests.servers.mongod import MongodServer
from tests.servers.mongod_node import Client
from tests.servers.mongosh import SCRIPT, run_init_script
from tests.servers.prepared_database import PreparedDatabase, unprepared_database

DOCUMENT_VALIDATION_FAILED = 121


@pytest.fixture(scope="module")
def prepared(mongod: MongodServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PreparedDatabase]:
    database = unprepared_database(mongod, tmp_path_factory.mktemp("secrets"))
    database.run_script()
    yield database
    with mongod.client(mongod.root) as client:
        client.drop_database(database.name)


def standing(client: Client, database: str) -> dict[str, Any]:
    """All that the script makes, as the server tells of it."""
    service, users = client[database], client.admin
    collections = {each["name"]: each["options"] for each in service.list_collections()}
    indexed = [each["name"] for each in service.list_collections(filter={"type": "collection"})]
    return {
        "collections": collections,
        "indexes": {name: service[name].index_information() for name in indexed},
        "roles": service.command("rolesInfo", 1, showPrivileges=True)["roles"],
        "users": [
            {"user": each["user"], "roles": each["roles"]}
            for each in users.command("usersInfo", 1)["users"]
            if each["user"].startswith(database)
        ],
    }


def test_the_file_of_definitions_is_what_the_service_declares() -> None:
    assert (SCRIPT.parent / "database.json").read_text(encoding="utf-8") == page()


def test_every_collection_has_a_validator_and_every_index_stands(prepared: PreparedDatabase) -> None:
    with prepared.client(prepared.mongod.root) as client:
        found = standing(client, prepared.name)
        for name, wanted in definition()["collections"].items():
            options = found["collections"][name]
            assert options["validator"] == wanted["validator"], name
            assert (options["validationLevel"], options["validationAction"]) == ("moderate", "error")
            listed = client[prepared.name].command("listIndexes", name)["cursor"]["firstBatch"]
            bare = [{key: each[key] for key in each if key != "v"} for each in listed]
            assert [each for each in bare if each["name"] != "_id_"] == wanted["indexes"], name


def test_a_second_run_changes_nothing(prepared: PreparedDatabase) -> None:
    with prepared.client(prepared.mongod.root) as client:
        before = standing(client, prepared.name)
        prepared.run_script()
        assert standing(client, prepared.name) == before


def test_another_password_in_the_file_is_the_user_s_after_a_run(mongod: MongodServer, tmp_path: Path) -> None:
    database = unprepared_database(mongod, tmp_path / "secrets")
    database.run_script()
    (database.secrets / "mongodb_password").write_text("another one, of some length\n")
    database.run_script()
    again = type(database.read_write)(database.read_write.user, "another one, of some length")
    with database.client(again) as client:
        assert client[database.name].users.find_one() is None
    with mongod.client(mongod.root) as client:
        client.drop_database(database.name)


def test_plugins_collections_are_in_the_roles_be_they_named_or_found(
    mongod: MongodServer, tmp_path: Path
) -> None:
    database = unprepared_database(mongod, tmp_path / "secrets")
    with mongod.client(mongod.root) as root:
        root[database.name].create_collection("plugin.shop.carts")
        database.run_script(plugin_collections="shop.orders")
        with database.client(database.read_write) as client:
            for name in ("plugin.shop.orders", "plugin.shop.carts"):
                client[database.name][name].insert_one({"_id": name})
        root.drop_database(database.name)


def test_a_missing_secret_file_is_named_and_the_exit_code_tells(mongod: MongodServer, tmp_path: Path) -> None:
    database = unprepared_database(mongod, tmp_path / "secrets")
    (database.secrets / "mongodb_admin_password").unlink()
    ran = run_init_script(mongod, mongod.root, database.environment())
    assert ran.returncode == 1
    assert "mongodb_admin_password" in ran.stdout + ran.stderr
    assert database.read_write.password not in ran.stdout + ran.stderr


def test_an_index_that_stands_otherwise_is_named_and_the_rest_is_made(
    mongod: MongodServer, tmp_path: Path
) -> None:
    database = unprepared_database(mongod, tmp_path / "secrets")
    with mongod.client(mongod.root) as root:
        root[database.name].users.create_index("username_key", name="by_username")
        ran = run_init_script(mongod, mongod.root, database.environment())
        assert ran.returncode == 1
        assert "users.by_username" in ran.stdout + ran.stderr
        with database.client(database.read_write) as client:
            assert client[database.name].users.find_one() is None
        root.drop_database(database.name)


@pytest.mark.parametrize("number", [5, Int64(5), Int64(2**40)], ids=["int", "long", "more than an int"])
def test_an_integer_may_be_an_int_or_a_long(prepared: PreparedDatabase, number: int) -> None:
    at = datetime.fromtimestamp(0, UTC)
    failures = {"count": number, "last_ms": number, "purge_at": at}
    with prepared.client(prepared.read_write) as client:
        collection = client[prepared.name].login_failures
        collection.update_one({"_id": str(number)}, {"$set": failures}, upsert=True)
        collection.update_one({"_id": str(number)}, {"$inc": {"count": 1}})


@pytest.mark.parametrize("change", [{"posted": 5.0}, {"posted": "5"}, {"book": None}], ids=json.dumps)
def test_a_balance_that_is_no_integer_is_refused(prepared: PreparedDatabase, change: dict[str, Any]) -> None:
    account = {"book": "main", "key": "a", "posted": 5, "held": 0, "seq": Int64(1)}
    with prepared.client(prepared.read_write) as client:
        accounts = client[prepared.name].accounts
        accounts.update_one({"key": "a"}, {"$set": account}, upsert=True)
        with pytest.raises(WriteError) as refused:
            accounts.update_one({"key": "a"}, {"$set": change})
        assert refused.value.code == DOCUMENT_VALIDATION_FAILED
