"""The repositories of identity, over memory and over MongoDB through each driver.

def test_a_user_is_found_by_name(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        await stores.users.add(...)

    identity(body)
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import pytest

from adapters.memory.audit import MemoryAuditLog
from adapters.memory.idempotency import MemoryIdempotencyStore
from adapters.memory.identity.api_keys import MemoryApiKeys
from adapters.memory.identity.credential_store import MemoryCredentials
from adapters.memory.identity.login_failures import MemoryLoginFailures
from adapters.memory.identity.sessions import MemorySessions
from adapters.memory.identity.users import MemoryUsers
from adapters.mongo.catalog import CATALOG, VALIDATORS
from adapters.mongo.driver.client import Bounds, ClientDriver
from adapters.mongo.driver.connect import DriverName, connect
from adapters.mongo.idempotency import MongoIdempotencyStore
from adapters.mongo.identity.login_failures import MongoLoginFailures
from adapters.mongo.indexes import create_indexes
from domain.audit import AuditAction, AuditEvent, AuditFilter
from domain.identity.sessions import Session, SessionPolicy, open_session
from domain.identity.users import Role, User
from domain.ids import time_ordered_id
from ports.audit import AuditLog
from ports.idempotency import IdempotencyStore
from ports.identity.api_keys import ApiKeys
from ports.identity.credential_store import CredentialStore, EndEvents
from ports.identity.login_failures import LoginFailures
from ports.identity.sessions import Sessions
from ports.identity.users import Users
from ports.runtime import Runtime
from tests.conformance.encryption import (
    mongo_api_keys,
    mongo_audit,
    mongo_credentials,
    mongo_sessions,
    mongo_users,
)
from tests.conformance.runtimes import Driver
from tests.servers.mongod import DATABASE, MongodServer

StoreName = Literal["memory", "pymongo", "motor"]
NOW_MS = 1_800_000_000_000


@dataclass(frozen=True, slots=True)
class Stores:
    runtime: Runtime
    users: Users
    sessions: Sessions
    api_keys: ApiKeys
    credentials: CredentialStore
    login_failures: LoginFailures
    answers: IdempotencyStore
    audit: AuditLog
    recorded: list[AuditEvent]
    """What the log said that it had stored."""

    async def opened(
        self, session: Session, event: AuditEvent | None = None, *, per_user_max: int = 20
    ) -> Sequence[str] | None:
        """Adds the session as a login does."""
        return await self.sessions.add(
            session,
            event or an_event(AuditAction.SESSION_OPENED),
            per_user_max=per_user_max,
            end_event=ended_session,
        )

    async def actions(self) -> list[AuditAction]:
        """What the audit log holds, oldest first."""
        page = await self.audit.find(AuditFilter(), limit=200, cursor=None)
        return [event.action for event in reversed(page.items)]

    async def resources(self, action: AuditAction) -> list[str]:
        """What the events of this action are about, in the order of their names."""
        page = await self.audit.find(AuditFilter(action=action), limit=200, cursor=None)
        assert page.next_cursor is None
        return sorted(event.resource for event in page.items)


OnStores = Callable[[Callable[[Stores], Awaitable[None]]], None]


@contextmanager
def database_of_its_own(mongod: MongodServer) -> Iterator[str]:
    """The URL of a database that nobody else uses; it is dropped in the end."""
    name = f"test_{secrets.token_hex(8)}"
    yield mongod.url.replace(f"/{DATABASE}?", f"/{name}?")
    with mongod.client(mongod.root) as client:
        client.drop_database(name)


async def connect_as_app(
    runtime: Runtime, mongod: MongodServer, url: str, driver: DriverName, bounds: Bounds | None = None
) -> ClientDriver:
    return await connect(
        runtime=runtime,
        url=url,
        user=mongod.app.user,
        password=mongod.app.password,
        driver=driver,
        bounds=bounds or Bounds(),
    )


@pytest.fixture(params=["memory", "pymongo", "motor"])
def identity(request: pytest.FixtureRequest, run_real: Driver) -> OnStores:
    store: StoreName = request.param

    def on_memory(body: Callable[[Stores], Awaitable[None]]) -> None:
        async def main(runtime: Runtime) -> None:
            recorded: list[AuditEvent] = []
            audit = MemoryAuditLog(on_recorded=recorded.append)
            answers = MemoryIdempotencyStore()
            users = MemoryUsers(audit=audit, answers=answers)
            sessions = MemorySessions(users=users, audit=audit)
            keys = MemoryApiKeys(users=users, audit=audit, answers=answers)
            credentials = MemoryCredentials(
                users=users, sessions=sessions, api_keys=keys, audit=audit, answers=answers
            )
            failures = MemoryLoginFailures()
            await body(
                Stores(runtime, users, sessions, keys, credentials, failures, answers, audit, recorded)
            )

        run_real(main)

    def on_mongo(body: Callable[[Stores], Awaitable[None]]) -> None:
        mongod: MongodServer = request.getfixturevalue("mongod")
        with database_of_its_own(mongod) as url:

            async def main(runtime: Runtime) -> None:
                driver = await connect_as_app(
                    runtime, mongod, url, "motor" if store == "motor" else "pymongo"
                )
                recorded: list[AuditEvent] = []
                try:
                    await create_validated(driver)
                    await create_indexes(driver, CATALOG)
                    await body(
                        Stores(
                            runtime,
                            mongo_users(driver),
                            mongo_sessions(driver),
                            mongo_api_keys(driver),
                            mongo_credentials(driver),
                            MongoLoginFailures(driver=driver),
                            MongoIdempotencyStore(driver=driver),
                            mongo_audit(driver, on_recorded=recorded.append),
                            recorded,
                        )
                    )
                finally:
                    await driver.close()

            run_real(main)

    return on_memory if store == "memory" else on_mongo


async def create_validated(driver: ClientDriver) -> None:
    """The collections with their validators, which then hold what the repositories write."""
    for declared in VALIDATORS:
        for name, validator in declared.items():
            await driver.command({"create": name, "validator": validator})


def a_user(name: str = "ada", *, email: str = "", now_ms: int = NOW_MS) -> User:
    return User(
        id=time_ordered_id("usr", now_ms, secrets.token_bytes(10)),
        username=name,
        email=email or f"{name}@example.com",
        roles=frozenset({Role.USER, Role.ADMIN}),
        password_hash="$argon2id$one",
        created_ms=now_ms,
    )


def a_session(user: User, *, now_ms: int = NOW_MS) -> Session:
    return open_session(
        id=time_ordered_id("ses", now_ms, secrets.token_bytes(10)),
        user_id=user.id,
        device_id="device-0123456789",
        credential_version=user.credential_version,
        address="203.0.113.7",
        user_agent="suite",
        now_ms=now_ms,
        policy=SessionPolicy(),
    )


def an_event(
    action: AuditAction = AuditAction.USER_REGISTERED, *, now_ms: int = NOW_MS, resource: str = "user:x"
) -> AuditEvent:
    return AuditEvent(
        id=time_ordered_id("aud", now_ms, secrets.token_bytes(10)),
        at_ms=now_ms,
        actor="anonymous",
        action=action,
        resource=resource,
        address="203.0.113.7",
        request_id="req-1",
        detail={"attempts": 3, "why": "said so"},
    )


def ended_session(session_id: str) -> AuditEvent:
    return an_event(AuditAction.SESSION_ENDED, resource=f"session:{session_id}")


def revoked_key(key_id: str) -> AuditEvent:
    return an_event(AuditAction.API_KEY_REVOKED, resource=f"api_key:{key_id}")


END_EVENTS = EndEvents(session=ended_session, api_key=revoked_key)


def by(event: AuditEvent, actor: str) -> AuditEvent:
    return replace(event, actor=actor)
