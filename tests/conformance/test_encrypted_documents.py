"""What stands in MongoDB of encrypted fields, and what is read of values that earlier releases wrote."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from pymongo.database import Database
from pymongo.uri_parser import parse_uri

from adapters.mongo import audit as audit_log
from adapters.mongo.catalog import CATALOG
from adapters.mongo.driver.client import ClientDriver
from adapters.mongo.driver.interface import Document
from adapters.mongo.identity import sessions as session_store
from adapters.mongo.identity import users as user_store
from adapters.mongo.indexes import create_indexes
from adapters.mongo.sweep import MongoSweep, Rewrite
from domain.audit import AuditFilter
from domain.documents.queries import Equals, Query
from domain.encryption.envelope import HEADER_BYTES, FieldFault
from domain.encryption.policies import USER_EMAIL
from domain.identity.sessions import Session
from domain.identity.users import User, uniqueness_key
from ports.encryption.encrypted_collection import SweptBatch
from ports.encryption.field_cipher import UnreadableField
from ports.identity.users import RenameRefused, UserAdded
from ports.runtime import Runtime
from tests.conformance.document_stores import SECRETS, mongo_documents, written
from tests.conformance.encryption import (
    KEYS,
    cipher,
    keyring,
    mongo_audit,
    mongo_sessions,
    mongo_users,
    own_collections,
    user_documents,
)
from tests.conformance.identity import (
    a_session,
    a_user,
    an_event,
    connect_as_app,
    create_validated,
    database_of_its_own,
    ended_session,
)
from tests.conformance.runtimes import Driver
from tests.servers.mongod import MongodServer

EARLIER_USER = {"email": "Ada@Example.com", "email_key": "ada@example.com"}


@dataclass(frozen=True, slots=True)
class Open:
    """A database of its own: as the repositories reach it, and as it is seen from outside."""

    runtime: Runtime
    driver: ClientDriver
    raw: Database[dict[str, Any]]

    async def holds(self, user: User, session: Session) -> None:
        """Adds them as a registration and a login do."""
        assert await mongo_users(self.driver).add(user, an_event()) is UserAdded.ADDED
        assert (
            await mongo_sessions(self.driver).add(
                session, an_event(), per_user_max=9, end_event=ended_session
            )
            == []
        )

    def write(self, collection: str, document_id: str, fields: Mapping[str, Any]) -> None:
        """What another release, or damage, leaves there."""
        changed = self.raw[collection].update_one({"_id": document_id}, {"$set": fields})
        assert changed.modified_count == 1

    def stored(self, collection: str, document_id: str) -> dict[str, Any]:
        document = self.raw[collection].find_one({"_id": document_id})
        assert document is not None
        return document


OnOpen = Callable[[Callable[[Open], Awaitable[None]]], None]


@pytest.fixture
def database(mongod: MongodServer, run_real: Driver) -> OnOpen:
    def on(body: Callable[[Open], Awaitable[None]]) -> None:
        with database_of_its_own(mongod) as url, mongod.client(mongod.root) as root:

            async def main(runtime: Runtime) -> None:
                driver = await connect_as_app(runtime, mongod, url, "pymongo")
                try:
                    await create_validated(driver)
                    await create_indexes(driver, CATALOG)
                    await body(Open(runtime, driver, root[driver.database]))
                finally:
                    await driver.close()

            run_real(main)

    return on


def test_no_address_of_any_kind_stands_in_the_clear(database: OnOpen) -> None:
    async def body(opened: Open) -> None:
        user = a_user("ada")
        await opened.holds(user, a_session(user))
        for name in opened.raw.list_collection_names():
            told = repr(list(opened.raw[name].find())).lower()
            for secret in ("ada@example.com", "example", "203.0.113.7", "suite"):
                assert secret not in told, name
        for collection, field in (
            (user_store.COLLECTION, "email"),
            (session_store.COLLECTION, "address"),
            (session_store.COLLECTION, "user_agent"),
            (audit_log.COLLECTION, "address"),
        ):
            assert opened.raw[collection].count_documents({field: {"$type": "binData"}}) > 0
        events = await mongo_audit(opened.driver).find(AuditFilter(), limit=9, cursor=None)
        assert {event.address for event in events.items} == {"203.0.113.7"}

    database(body)


def test_what_an_earlier_release_wrote_in_the_clear_is_read(database: OnOpen) -> None:
    async def body(opened: Open) -> None:
        user = a_user("ada", email="Ada@Example.com")
        session, event = a_session(user), an_event()
        await opened.holds(user, session)
        log = mongo_audit(opened.driver)
        await log.record(event)
        opened.write(user_store.COLLECTION, user.id, EARLIER_USER)
        origin = {"address": session.address, "user_agent": session.user_agent}
        opened.write(session_store.COLLECTION, session.id, origin)
        opened.write(audit_log.COLLECTION, event.id, {"address": event.address})

        users = mongo_users(opened.driver)
        found = await users.find_by_email(uniqueness_key("ADA@example.com"))
        assert found is not None
        assert found.email == "Ada@Example.com"
        assert await mongo_sessions(opened.driver).get(session.id) == session
        assert event in (await log.find(AuditFilter(), limit=9, cursor=None)).items

    database(body)


def test_an_address_in_its_earlier_form_is_taken(database: OnOpen) -> None:
    async def body(opened: Open) -> None:
        users = mongo_users(opened.driver)
        ada, bob = a_user("ada", email="Ada@Example.com"), a_user("bob")
        for user in (ada, bob):
            await users.add(user, an_event())
        opened.write(user_store.COLLECTION, ada.id, EARLIER_USER)

        async def rename(user: User, email: str, username: str | None = None) -> User | RenameRefused:
            return await users.rename(user.id, username=username, email=email, event=an_event())

        assert await users.add(a_user("eve", email="ada@example.COM"), an_event()) is UserAdded.EMAIL_TAKEN
        assert await users.add(a_user("ADA", email="ada@example.com"), an_event()) is UserAdded.USERNAME_TAKEN
        assert await rename(bob, "ADA@example.com") is RenameRefused.EMAIL_TAKEN
        assert await rename(bob, "ADA@example.com", "Ada") is RenameRefused.USERNAME_TAKEN
        # One's own is not another user's, and stands in the later form from then on.
        assert await rename(ada, "ada@example.com") == replace(ada, email="ada@example.com")
        assert isinstance(opened.stored(user_store.COLLECTION, ada.id)["email_key"], bytes)
        assert await users.add(a_user("eve", email="ada@example.COM"), an_event()) is UserAdded.EMAIL_TAKEN
        assert opened.raw[user_store.COLLECTION].count_documents({}) == 2

    database(body)


def flipped(stored: bytes) -> bytes:
    return stored[:-1] + bytes([stored[-1] ^ 1])


def test_what_does_not_open_is_told_and_never_shown(database: OnOpen) -> None:
    async def body(opened: Open) -> None:
        users, sessions = mongo_users(opened.driver), mongo_sessions(opened.driver)
        ada, bob = a_user("ada"), a_user("bob")
        session = a_session(ada)
        await opened.holds(ada, session)
        await users.add(bob, an_event())
        good = opened.stored(user_store.COLLECTION, ada.id)["email"]
        of_bob = opened.stored(user_store.COLLECTION, bob.id)["email"]
        for damaged, fault in (
            (flipped(good), FieldFault.NOT_AUTHENTIC),
            (of_bob, FieldFault.NOT_AUTHENTIC),
            (good[:20], FieldFault.TRUNCATED),
            (good[:2] + bytes(8) + good[10:], FieldFault.UNKNOWN_KEY),
        ):
            opened.write(user_store.COLLECTION, ada.id, {"email": damaged})
            with pytest.raises(UnreadableField) as refused:
                await users.find_by_username("ada")
            assert refused.value.fault is fault
            assert "example" not in str(refused.value)
            with pytest.raises(UnreadableField):
                await users.list_page(limit=9, cursor=None)
            assert await users.get(bob.id) == bob

        stored = opened.stored(session_store.COLLECTION, session.id)
        opened.write(session_store.COLLECTION, session.id, {"user_agent": stored["address"]})
        with pytest.raises(UnreadableField):
            await sessions.get(session.id)
        # A login goes through the living sessions, and reads none of their addresses.
        later = a_session(ada)
        assert await sessions.add(later, an_event(), per_user_max=9, end_event=ended_session) == []
        assert await sessions.get(later.id) == later

    database(body)


OLD, BOTH = keyring(KEYS[0]), keyring(*KEYS)


def unsettled(opened: Open) -> int:
    """Values that stand in the clear or under another key than that which writes in `BOTH`."""
    header = cipher(USER_EMAIL, BOTH).encrypt("", "")[:HEADER_BYTES]
    fields = {
        user_store.COLLECTION: ("email",),
        session_store.COLLECTION: ("address", "user_agent"),
        audit_log.COLLECTION: ("address",),
    }
    return sum(
        not (isinstance(document[field], bytes) and document[field].startswith(header))
        for name, names in fields.items()
        for document in opened.raw[name].find()
        for field in names
    )


async def pass_over(opened: Open) -> list[SweptBatch]:
    return [await collection.sweep("", limit=1_000) for collection in own_collections(opened.driver, BOTH)]


def test_a_sweep_encrypts_what_is_in_the_clear_or_of_another_key(database: OnOpen) -> None:
    async def body(opened: Open) -> None:
        users = mongo_users(opened.driver, OLD)
        ada, bob = a_user("ada", email="Ada@Example.com"), a_user("bob")
        session = a_session(ada)
        for user in (ada, bob):
            assert await users.add(user, an_event()) is UserAdded.ADDED
        await mongo_sessions(opened.driver, OLD).add(
            session, an_event(), per_user_max=9, end_event=ended_session
        )
        opened.write(user_store.COLLECTION, ada.id, EARLIER_USER)
        opened.write(session_store.COLLECTION, session.id, {"user_agent": session.user_agent})
        assert unsettled(opened) == 7
        assert [dict(batch.rewritten) for batch in await pass_over(opened)] == [
            {"email": 2},
            {"address": 1, "user_agent": 1},
            {"address": 3},
        ]
        assert unsettled(opened) == 0
        assert not any(batch.rewritten or batch.left for batch in await pass_over(opened))

        # The new key alone reads all of it.
        new = keyring(KEYS[1])
        users = mongo_users(opened.driver, new)
        found = await users.find_by_email("ada@example.com")
        assert found is not None
        assert (found.id, found.email) == (ada.id, "Ada@Example.com")
        assert await users.get(bob.id) == bob
        assert await users.add(a_user("eve", email="ADA@example.com"), an_event()) is UserAdded.EMAIL_TAKEN
        assert await mongo_sessions(opened.driver, new).get(session.id) == session

    database(body)


def test_a_sweep_that_was_cut_off_begins_again_and_does_the_rest(database: OnOpen) -> None:
    async def body(opened: Open) -> None:
        for number in range(5):
            await mongo_users(opened.driver, OLD).add(a_user(f"user{number}"), an_event())
        users, *_ = own_collections(opened.driver, BOTH)
        first = await users.sweep("", limit=2)
        assert (first.seen, first.rewritten["email"]) == (2, 2)
        assert first.last_id is not None
        (again, *_), third = own_collections(opened.driver, BOTH), await users.sweep(first.last_id, limit=2)
        assert third.rewritten["email"] == 2
        rest = await again.sweep("", limit=1_000)
        assert (rest.seen, rest.rewritten["email"], rest.last_id) == (5, 1, None)

    database(body)


def test_a_write_during_a_sweep_wins(database: OnOpen) -> None:
    async def body(opened: Open) -> None:
        ada = a_user("ada")
        users = mongo_users(opened.driver, OLD)
        await users.add(ada, an_event())
        settle = user_documents(BOTH).settling
        others = mongo_users(opened.driver, BOTH)
        moved = user_documents(OLD).email_fields(ada.id, "new@example.com")

        def raced(document: Document) -> Rewrite | None:
            rewrite = settle(document)
            opened.write(user_store.COLLECTION, ada.id, moved)
            return rewrite

        sweep = MongoSweep(
            driver=opened.driver,
            name=user_store.COLLECTION,
            fields=("email", "email_key"),
            rewriting=raced,
        )
        batch = await sweep.sweep("", limit=9)
        assert (batch.seen, dict(batch.rewritten), batch.left) == (1, {}, 0)
        assert await others.get(ada.id) == replace(ada, email="new@example.com")
        assert await others.find_by_email("new@example.com") is not None
        assert await others.find_by_email("ada@example.com") is None

    database(body)


def test_a_sweep_goes_past_what_it_cannot_rewrite(database: OnOpen) -> None:
    async def body(opened: Open) -> None:
        users = mongo_users(opened.driver, OLD)
        ada, bob, eve, mallory = (a_user(name) for name in ("ada", "bob", "eve", "mallory"))
        for user in (ada, bob, eve, mallory):
            await users.add(user, an_event())
        damaged = flipped(opened.stored(user_store.COLLECTION, ada.id)["email"])
        opened.write(user_store.COLLECTION, ada.id, {"email": damaged})
        # Two workers of two releases registered one address.
        again = {"email": "eve@example.com", "email_key": "eve@example.com"}
        opened.write(user_store.COLLECTION, mallory.id, again)
        batch, *_ = await pass_over(opened)
        assert (batch.seen, batch.rewritten["email"], batch.left) == (4, 2, 2)
        assert opened.stored(user_store.COLLECTION, ada.id)["email"] == damaged
        assert opened.stored(user_store.COLLECTION, mallory.id)["email"] == "eve@example.com"
        assert await mongo_users(opened.driver, BOTH).get(bob.id) == bob

    database(body)


def test_plugins_fields_stand_encrypted_and_are_swept(run_real: Driver, mongod: MongodServer) -> None:
    with database_of_its_own(mongod) as url, mongod.client(mongod.root) as root:
        raw = root.get_database(parse_uri(url)["database"])["plugin.notes.secret"]

        async def body(runtime: Runtime) -> None:
            async with mongo_documents(runtime, mongod, url) as (documents, _):

                async def found(phone: str) -> list[str]:
                    query = Query(SECRETS, (Equals("phone", phone),))
                    return sorted(each.id for each in (await documents.find(query)).documents)

                kept = {}
                for name, phone in (("a", "01614960000"), ("b", "01614960000"), ("c", "01614960001")):
                    fields = {"owner": name, "phone": phone, "diary": {"page": "dear diary"}}
                    kept[name], event = written(name, fields, SECRETS)
                    assert await documents.insert(SECRETS, kept[name], event)
                told = repr(list(raw.find()))
                assert "0161496" not in told
                assert "dear" not in told
                assert "owner" in told

                # From before the fields were declared encrypted.
                raw.update_one({"_id": "b"}, {"$set": {"fields": kept["b"].fields}, "$unset": {"sealed": ""}})
                assert await found("01614960000") == ["a", "b"]
                (collection,) = documents.encrypted_collections()
                assert await collection.count() == 3
                batch = await collection.sweep("", limit=9)
                assert dict(batch.rewritten) == {"phone": 1, "diary": 1}
                assert "dear" not in repr(list(raw.find()))
                assert await found("01614960000") == ["a", "b"]
                assert await documents.get(SECRETS, "b") == kept["b"]
                assert await documents.replace(SECRETS, kept["b"], *written("b", {}, SECRETS))

                sealed = raw.find_one({"_id": "a"}, {"sealed": 1})
                assert sealed is not None
                raw.update_one({"_id": "c"}, {"$set": {"sealed": sealed["sealed"]}})
                with pytest.raises(UnreadableField):
                    await documents.get(SECRETS, "c")
                with pytest.raises(UnreadableField):
                    await found("01614960001")
                raw.update_one({"_id": "c"}, {"$unset": {"sealed": ""}})
                with pytest.raises(UnreadableField):
                    await documents.get(SECRETS, "c")
                assert await documents.get(SECRETS, "a") == kept["a"]

        run_real(body)
