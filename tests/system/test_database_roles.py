"""What the three roles of `init-scripts/mongodb-init.js` allow on a server: all that the service needs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.collection import Collection
from pymongo.errors import OperationFailure, PyMongoError

from adapters.mongo import audit
from adapters.mongo.catalog import CATALOG
from adapters.mongo.documents.document_store import MongoDocuments
from adapters.mongo.ledger import journal
from adapters.mongo.pools import MongoLogin, connect_pools
from adapters.mongo.roles import APPEND_ONLY, WITHHELD
from domain.audit import AuditAction
from ports.runtime import Runtime
from tests.composition.hosting.serving import creditctl, wait_until
from tests.conformance.document_stores import NOTES, PLAIN, written
from tests.conformance.encryption import entries, ring_text, stored_documents
from tests.conformance.identity import an_event
from tests.conformance.runtimes import Driver, run_real
from tests.servers.mongod import Credentials, MongodServer
from tests.servers.prepared_database import PreparedDatabase, unprepared_database
from tests.servers.redis_server import RedisServer
from tests.system.product import PASSWORD, Person, Stage, live_stage, running

__all__ = ["run_real"]

UNAUTHORIZED = 13
Attempt = Callable[[Collection[dict[str, Any]]], object]

CHANGES: dict[str, Attempt] = {
    "update_one": lambda on: on.update_one({}, {"$set": {"touched": True}}),
    "update_many": lambda on: on.update_many({}, {"$set": {"touched": True}}),
    "replace_one": lambda on: on.replace_one({}, {"touched": True}),
    "upsert": lambda on: on.update_one({"_id": "new"}, {"$set": {"touched": True}}, upsert=True),
    "find_one_and_update": lambda on: on.find_one_and_update({}, {"$set": {"touched": True}}),
    "merge": lambda on: list(on.aggregate([{"$merge": {"into": on.name, "whenMatched": "replace"}}])),
}
REMOVALS: dict[str, Attempt] = {
    "delete_one": lambda on: on.delete_one({}),
    "delete_many": lambda on: on.delete_many({}),
    "find_one_and_delete": lambda on: on.find_one_and_delete({}),
    "out": lambda on: list(on.aggregate([{"$out": on.name}])),
    "drop": lambda on: on.drop(),
    "rename": lambda on: on.rename(f"{on.name}_elsewhere"),
}
DEFINITIONS: dict[str, Attempt] = {
    "create_index": lambda on: on.create_index("touched"),
    "drop_index": lambda on: on.drop_indexes(),
    "collMod": lambda on: on.database.command("collMod", on.name, validationLevel="off"),
}
INSERT: dict[str, Attempt] = {
    "insert_one": lambda on: on.insert_one({"_id": "new"}),
    "insert_unvalidated": lambda on: on.with_options().database.command(
        "insert", on.name, documents=[{"_id": "new"}], bypassDocumentValidation=True
    ),
}
COLLECTIONS = sorted({name for declared in CATALOG for name in declared})


@pytest.fixture(scope="module")
def prepared(mongod: MongodServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PreparedDatabase]:
    database = unprepared_database(mongod, tmp_path_factory.mktemp("secrets"))
    plugins = ",".join(collection.full_name for collection in (NOTES, PLAIN))
    database.run_script(plugin_collections=plugins)
    yield database
    with mongod.client(mongod.root) as client:
        client.drop_database(database.name)


def allowed(
    prepared: PreparedDatabase, who: Credentials, name: str, attempts: dict[str, Attempt]
) -> set[str]:
    """Those that the server did not refuse for want of a privilege; a validator may still have."""
    found = set()
    with prepared.client(who) as client:
        for attempt, do in attempts.items():
            try:
                do(client[prepared.name][name])
            except OperationFailure as error:
                if error.code == UNAUTHORIZED:
                    continue
            except PyMongoError as error:
                pytest.fail(f"{attempt} on {name}: {error}")
            found.add(attempt)
    return found


@pytest.mark.parametrize("name", COLLECTIONS)
def test_the_analytics_user_changes_nothing(prepared: PreparedDatabase, name: str) -> None:
    assert not allowed(prepared, prepared.read_only, name, INSERT | CHANGES | REMOVALS | DEFINITIONS)


@pytest.mark.parametrize("name", sorted(WITHHELD))
def test_the_analytics_user_does_not_read_what_proves_who_somebody_is(
    prepared: PreparedDatabase, name: str
) -> None:
    assert not allowed(prepared, prepared.read_only, name, {"find": lambda on: on.find_one({})})


@pytest.mark.parametrize("name", COLLECTIONS)
def test_the_user_that_reads_and_writes_removes_and_defines_nothing(
    prepared: PreparedDatabase, name: str
) -> None:
    assert not allowed(prepared, prepared.read_write, name, REMOVALS | DEFINITIONS)
    assert allowed(prepared, prepared.read_write, name, INSERT) == {"insert_one"}


@pytest.mark.parametrize("name", sorted(APPEND_ONLY))
@pytest.mark.parametrize("who", ["read_write", "admin"])
def test_the_journal_is_changed_by_nobody_and_the_audit_log_by_the_administrator_alone(
    prepared: PreparedDatabase, name: str, who: str
) -> None:
    # To encrypt addresses anew. An upsert and a merge insert, which both users may.
    changes = set(CHANGES) if (name, who) == (audit.COLLECTION, "admin") else set()
    assert allowed(prepared, getattr(prepared, who), name, CHANGES) == changes


def test_nobody_removes_from_the_journal_and_the_administrator_from_the_audit_log(
    prepared: PreparedDatabase,
) -> None:
    assert not allowed(prepared, prepared.admin, journal.COLLECTION, REMOVALS)
    # `$out` removes all and inserts: who removes a user inserts the event of it.
    removals = {"delete_one", "delete_many", "find_one_and_delete", "out"}
    assert allowed(prepared, prepared.admin, audit.COLLECTION, REMOVALS) == removals


@pytest.mark.parametrize("who", ["read_write", "read_only", "admin"])
def test_no_user_of_the_service_manages_users_or_reads_another_database(
    prepared: PreparedDatabase, who: str
) -> None:
    user: Credentials = getattr(prepared, who)
    root = {"role": "root", "db": "admin"}
    with prepared.client(user) as client:
        attempts: list[Callable[[], object]] = [
            lambda: client.admin.command("createUser", "x", pwd="x", roles=[]),
            lambda: client.admin.command("grantRolesToUser", user.user, roles=[root]),
            client.admin["system.users"].find_one,
            client["another"]["users"].find_one,
        ]
        for attempt in attempts:
            with pytest.raises(OperationFailure) as refused:
                attempt()
            assert refused.value.code == UNAUTHORIZED


def test_documents_of_plugins_are_kept_under_the_three_roles(
    prepared: PreparedDatabase, run_real: Driver
) -> None:
    def login(who: Credentials) -> MongoLogin:
        return MongoLogin(who.user, who.password)

    async def body(runtime: Runtime) -> None:
        pools = await connect_pools(
            runtime=runtime,
            url=prepared.url,
            read_write=login(prepared.read_write),
            read_only=login(prepared.read_only),
            admin=login(prepared.admin),
        )
        try:
            documents = MongoDocuments(
                runtime=runtime,
                reader=pools.read_only,
                writer=pools.read_write,
                admin=pools.admin,
                audit=entries(),
                documents=stored_documents(),
            )
            await documents.prepare([NOTES, PLAIN])
            first, event = written("n-1", {"owner": "ada", "stars": 1})
            assert await documents.insert(NOTES, first, event)
            second, event = written("n-1", {"owner": "ada", "stars": 2})
            assert await documents.replace(NOTES, first, second, event)
            assert await documents.get(NOTES, "n-1") == second
            assert await documents.delete(NOTES, second, an_event(AuditAction.DOCUMENT_DELETED))
            assert await documents.get(NOTES, "n-1") is None
        finally:
            await pools.close()

    run_real(body)


@pytest.fixture
def stage(prepared: PreparedDatabase, redis_server: RedisServer, tmp_path: Path) -> Stage:
    stage = live_stage(tmp_path, "asyncio", prepared.mongod, redis_server, database=prepared.name)
    for file in prepared.secrets.iterdir():
        (tmp_path / "secrets" / file.name).write_bytes(file.read_bytes())
    # One database, one ring: services and repositories read each other's audit events.
    (tmp_path / "secrets" / "encryption_key").write_text(ring_text())
    return stage


def test_the_service_does_all_its_work_under_the_three_roles(stage: Stage, tmp_path: Path) -> None:
    with running(stage, tmp_path) as product:
        ready = product.anyone("GET", "/health/ready")
        assert ready.status_code == 200, ready.text
        alice, bob = Person(product, "alice"), Person(product, "bob")
        accounts = []
        for person in (alice, bob):
            opened = product.admin("POST", "/credits/accounts", {"asset": "GEMS", "user_id": person.id})
            assert opened.status_code == 201, opened.text
            accounts.append(opened.json()["id"])
        for path, body in (
            ("/credits/grants", {"account": accounts[0], "amount": 100, "category": "paid"}),
            (
                "/credits/transfers",
                {"source": accounts[0], "destination": accounts[1], "amount": 30, "code": "gift"},
            ),
            ("/credits/holds", {"account": accounts[0], "amount": 5, "code": "job"}),
        ):
            assert product.admin("POST", path, body).status_code == 201, path
        # A wrong password counts, a right one clears the count, and the session of the login is ended.
        login = {"username": "alice", "password": "not this one"}
        assert product.anyone("POST", "/auth/login", login).status_code == 401
        login["password"] = PASSWORD
        again = product.anyone("POST", "/auth/login", login, X_Device_Id=alice.tokens["device_id"])
        assert again.status_code == 200, again.text
        assert alice.ask("DELETE", "/auth/sessions").status_code == 204
        # Roles, and a user removed: with their sessions, under the administrator's role.
        assert product.admin("PATCH", f"/users/{bob.id}", {"roles": ["analyst"]}).status_code == 200
        assert product.admin("DELETE", f"/users/{bob.id}").status_code == 204
        assert product.admin("GET", f"/users/{bob.id}").status_code == 404
        actions = {item["action"] for item in product.admin("GET", "/admin/audit?limit=200").json()["items"]}
        assert {"session.opened", "session.ended", "user.roles_changed", "user.deleted"} <= actions
    report = json.loads(creditctl("doctor", "--json", settings=stage.environment).stdout)
    assert report["good"], report
    verified = creditctl("ledger", "verify", settings=stage.environment)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_audit_events_that_are_older_than_the_setting_go_and_others_stay(
    stage: Stage, prepared: PreparedDatabase, tmp_path: Path
) -> None:
    old = an_event(now_ms=1)
    with prepared.client(prepared.mongod.root) as root:
        events = root[prepared.name][audit.COLLECTION]
        events.insert_one({"_id": old.id}, bypass_document_validation=True)
        with running(stage.with_settings(CREDIT_AUDIT_RETENTION="1d"), tmp_path) as product:
            person = Person(product, f"kept-{prepared.name[-6:]}")
            wait_until(lambda: events.find_one({"_id": old.id}) is None, "the old event was removed")
        assert events.find_one({"resource": f"user:{person.id}"}) is not None


def test_the_service_names_an_index_that_differs_and_starts(
    stage: Stage, prepared: PreparedDatabase, tmp_path: Path
) -> None:
    said = "users.by_username differs: unique is not set and should be True"
    with prepared.client(prepared.mongod.root) as root:
        users = root[prepared.name].users
        users.drop_index("by_username")
        users.create_index("username_key", name="by_username")
        try:
            with running(stage, tmp_path) as product:
                assert product.anyone("GET", "/health/ready").status_code == 200
            (log,) = tmp_path.glob("output-*.log")
            assert said in log.read_text()
            doctor = json.loads(creditctl("doctor", "--json", settings=stage.environment).stdout)
            found = {each["check"]: each for each in doctor["checks"]}["mongo indexes"]
            assert not found["good"]
            assert said in found["detail"]
        finally:
            users.drop_index("by_username")
            users.create_index("username_key", name="by_username", unique=True)
