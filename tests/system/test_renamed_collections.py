"""`sessions` and `audit` get the names `user_sessions` and `audit_logs` while workers go on writing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pymongo.errors import OperationFailure

from adapters.mongo import audit
from adapters.mongo.driver.connect import connect
from adapters.mongo.driver.names import NOT_ON_VIEW, RENAMED, CollectionNames
from adapters.mongo.identity import sessions
from ports.identity.users import UserAdded
from ports.runtime import Runtime
from tests.composition.hosting.serving import creditctl
from tests.conformance.encryption import mongo_audit, mongo_sessions, mongo_users
from tests.conformance.identity import a_session, a_user, an_event
from tests.conformance.runtimes import Driver, run_real
from tests.servers.mongod import MongodServer
from tests.servers.prepared_database import PreparedDatabase, unprepared_database
from tests.servers.redis_server import RedisServer
from tests.system.product import PASSWORD, Person, live_stage, running

__all__ = ["run_real"]

UNAUTHORIZED = 13


@pytest.fixture
def earlier(mongod: MongodServer, tmp_path: Path) -> Iterator[PreparedDatabase]:
    """A database of an earlier release: its names, and users with the built-in roles."""
    database = unprepared_database(mongod, tmp_path / "of the script")
    roles = ((database.read_write, "readWrite"), (database.read_only, "read"), (database.admin, "dbOwner"))
    with mongod.client(mongod.root) as root:
        for user, role in roles:
            granted = [{"role": role, "db": database.name}]
            root.admin.command("createUser", user.user, pwd=user.password, roles=granted)
        for old in RENAMED.values():
            root[database.name].create_collection(old)
        yield database
        root.drop_database(database.name)


def under(root: Any, database: PreparedDatabase) -> dict[str, str]:
    return {
        each["name"]: each["type"]
        for each in root[database.name].list_collections()
        if each["name"].startswith(("sessions", "audit", "user_sessions"))
    }


SETTLED = {"user_sessions": "collection", "audit_logs": "collection", "sessions": "view", "audit": "view"}


def test_nothing_that_an_earlier_worker_was_told_is_stored_is_lost(earlier: PreparedDatabase) -> None:
    """It writes without a pause, from before the script to after it, and knows the earlier name alone."""
    acknowledged: list[int] = []
    refused: list[int | None] = []
    began, done = threading.Event(), threading.Event()

    def write() -> None:
        with earlier.client(earlier.read_write) as client:
            events = client[earlier.name]["audit"]
            number = 0
            while len(refused) < 20 and number < 100_000:
                number += 1
                try:
                    events.insert_one({"_id": number})
                except OperationFailure as error:
                    refused.append(error.code)
                    # Not before the script is through: what is refused while it runs is refused after it.
                    done.wait(0.05)
                else:
                    acknowledged.append(number)
                    began.set()

    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(write)
        assert began.wait(10)
        earlier.run_script()
        done.set()
        writing.result()
    assert acknowledged
    assert set(refused) == {UNAUTHORIZED}
    with earlier.mongod.client(earlier.mongod.root) as root:
        assert under(root, earlier) == SETTLED
        stored = {each["_id"] for each in root[earlier.name][audit.COLLECTION].find()}
    assert stored == set(acknowledged)
    with earlier.client(earlier.read_write) as client:
        assert client[earlier.name]["audit"].count_documents({}) == len(acknowledged)


def _renamed_without_a_view(database: Any) -> None:
    database.sessions.rename(sessions.COLLECTION)


def _both(database: Any) -> None:
    database[sessions.COLLECTION].insert_one({"_id": "new"})


def _moved_aside(database: Any) -> None:
    database.sessions.rename("sessions_moving")
    database[sessions.COLLECTION].insert_one({"_id": "new"})


def _moved_aside_and_written_again(database: Any) -> None:
    _moved_aside(database)
    database.sessions.insert_one({"_id": "late"})


CRASHES: dict[str, Callable[[Any], None]] = {
    "before all": lambda _: None,
    "renamed, and no view yet": _renamed_without_a_view,
    "both stand": _both,
    "moved aside": _moved_aside,
    "moved aside, and written to again": _moved_aside_and_written_again,
}


@pytest.mark.parametrize("crash", CRASHES)
def test_a_script_that_was_stopped_goes_on_and_loses_nothing(earlier: PreparedDatabase, crash: str) -> None:
    with earlier.mongod.client(earlier.mongod.root) as root:
        database = root[earlier.name]
        database.sessions.insert_many([{"_id": "first"}, {"_id": "second"}])
        CRASHES[crash](database)
        before = {
            each["_id"]
            for name in ("sessions", "sessions_moving", sessions.COLLECTION)
            for each in database[name].find()
        }
        earlier.run_script()
        assert under(root, earlier) == SETTLED
        assert {each["_id"] for each in database[sessions.COLLECTION].find()} == before
        earlier.run_script()
        assert under(root, earlier) == SETTLED


def test_a_worker_follows_when_a_name_is_taken_away(earlier: PreparedDatabase, run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        login = earlier.read_write
        driver = await connect(runtime=runtime, url=earlier.url, user=login.user, password=login.password)
        try:
            assert await driver.learn_names() == ("audit", "sessions")
            log, kept = mongo_audit(driver), mongo_sessions(driver)
            people = mongo_users(driver)
            await log.record(an_event())
            for name in ("ada", "bob"):
                user = a_user(name)
                session = a_session(user)
                assert await people.add(user, an_event()) is UserAdded.ADDED
                await kept.add(session, an_event(), per_user_max=9, end_event=lambda _: an_event())
                assert await kept.get(session.id) == session
                assert await kept.revoke(session.id, now_ms=session.created_ms, events=[an_event()])
                earlier.run_script()
            assert await driver.learn_names() == ()
        finally:
            await driver.close()

    run_real(body)
    with earlier.mongod.client(earlier.mongod.root) as root:
        assert root[earlier.name][sessions.COLLECTION].count_documents({}) == 2
        assert root[earlier.name][audit.COLLECTION].count_documents({}) == 7


def test_a_name_that_is_closed_stands_until_the_other_does() -> None:
    names = CollectionNames()
    assert not names.learn([])
    assert names.learn(["sessions", "audit"])
    assert not names.learn([])
    assert (names.standing("user_sessions"), names.earlier) == ("sessions", ("audit", "sessions"))
    assert names.learn(["user_sessions"])
    assert (names.standing("user_sessions"), names.earlier) == ("user_sessions", ("audit",))
    assert names.learn(["user_sessions", "sessions", "audit_logs"])
    assert names.earlier == ()


def test_a_write_through_the_view_follows_too(earlier: PreparedDatabase, run_real: Driver) -> None:
    """A user with a wider role than the script's is not refused the earlier name, but the view refuses it."""

    async def body(runtime: Runtime) -> None:
        user = earlier.admin
        driver = await connect(runtime=runtime, url=earlier.url, user=user.user, password=user.password)
        try:
            await driver.learn_names()
            with earlier.mongod.client(earlier.mongod.root) as root:
                root[earlier.name].audit.rename(audit.COLLECTION)
                root[earlier.name].command("create", "audit", viewOn=audit.COLLECTION, pipeline=[])
                with pytest.raises(OperationFailure) as refused:
                    root[earlier.name].audit.insert_one({})
                assert refused.value.code == NOT_ON_VIEW
            await mongo_audit(driver).record(an_event())
            assert await driver.learn_names() == ("sessions",)
        finally:
            await driver.close()

    run_real(body)


def test_the_service_goes_on_while_its_collections_are_renamed(
    earlier: PreparedDatabase, redis_server: RedisServer, tmp_path: Path
) -> None:
    stage = live_stage(tmp_path, "asyncio", earlier.mongod, redis_server, database=earlier.name)
    for file in earlier.secrets.iterdir():
        (tmp_path / "secrets" / file.name).write_bytes(file.read_bytes())
    stage = stage.with_settings(CREDIT_RATE_LIMIT_LOGIN="100000/60s", CREDIT_SESSIONS_PER_USER="100")
    with running(stage, tmp_path) as product, ThreadPoolExecutor(1) as pool:
        person = Person(product, "ada")
        login = {"username": "ada", "password": PASSWORD}
        script = pool.submit(earlier.run_script)
        statuses = []
        after = 0
        while after < 3:
            after += script.done()
            answer = product.anyone("POST", "/auth/login", login, X_Device_Id=person.tokens["device_id"])
            statuses.append(answer.status_code)
        script.result()
        assert set(statuses) == {200}
        assert len(person.ask("GET", "/auth/sessions?limit=100").json()["items"]) == len(statuses) + 1
        assert product.anyone("GET", "/health/ready").status_code == 200
    doctor = json.loads(creditctl("doctor", "--json", settings=stage.environment).stdout)
    assert doctor["good"], doctor
    with earlier.mongod.client(earlier.mongod.root) as root:
        assert under(root, earlier) == SETTLED
        assert root[earlier.name][sessions.COLLECTION].count_documents({}) == len(statuses) + 1
