"""Stores of documents under test: memory, and MongoDB through each driver under its three roles."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import pytest

from adapters.memory.audit import MemoryAuditLog
from adapters.memory.documents.document_store import MemoryDocuments
from adapters.mongo.audit import INDEXES
from adapters.mongo.documents.document_store import MongoDocuments
from adapters.mongo.driver.client import ClientDriver
from adapters.mongo.driver.connect import DriverName, connect
from adapters.mongo.indexes import create_indexes
from domain.audit import AuditAction, AuditEvent, AuditFilter
from domain.documents.document import Collection, Document, FieldKind, Fields, complete
from domain.encryption.policies import Encrypted, EncryptionAlgorithm
from domain.ids import time_ordered_id
from ports.audit import AuditLog, OnRecorded
from ports.documents.document_store import DocumentStore
from ports.runtime import Runtime
from tests.conformance.encryption import entries, mongo_audit, stored_documents
from tests.conformance.identity import NOW_MS, an_event, database_of_its_own
from tests.conformance.runtimes import Driver
from tests.servers.mongod import MongodServer

NOTES = Collection(
    "notes",
    "note",
    {"owner": FieldKind.TEXT, "stars": FieldKind.INTEGER, "done": FieldKind.BOOLEAN},
    (("owner", "stars"),),
    partition="owner",
)
PLAIN = Collection("notes", "plain")
SECRETS = Collection(
    "notes",
    "secret",
    {"owner": FieldKind.TEXT, "phone": FieldKind.TEXT, "stars": FieldKind.INTEGER},
    (("phone", "stars"),),
    encrypted={"phone": Encrypted(indexed=True), "diary": Encrypted(EncryptionAlgorithm.FERNET)},
)


@dataclass(frozen=True, slots=True)
class Kept:
    runtime: Runtime
    documents: DocumentStore
    audit: AuditLog
    recorded: list[AuditEvent]
    """What the counter of audit events was told of."""

    async def actions(self) -> list[AuditAction]:
        page = await self.audit.find(AuditFilter(), limit=200, cursor=None)
        return [event.action for event in reversed(page.items)]


OnDocuments = Callable[[Callable[[Kept], Awaitable[None]]], None]


def written(document_id: str, fields: Fields, collection: Collection = NOTES) -> tuple[Document, AuditEvent]:
    """A document and the event of the write that makes it."""
    event = an_event(AuditAction.DOCUMENT_INSERTED, resource=f"document:{collection.full_name}/{document_id}")
    return Document(document_id, complete(collection, fields), event.id), event


def token() -> str:
    return time_ordered_id("aud", NOW_MS, secrets.token_bytes(10))


@asynccontextmanager
async def mongo_documents(
    runtime: Runtime,
    mongod: MongodServer,
    url: str,
    driver: DriverName = "pymongo",
    recorded: OnRecorded | None = None,
) -> AsyncIterator[tuple[MongoDocuments, AuditLog]]:
    """Under the three roles, with the two collections above prepared."""
    async with AsyncExitStack() as stack:
        pools: list[ClientDriver] = []
        for role in (mongod.analytics, mongod.app, mongod.admin):
            pool = await connect(
                runtime=runtime, url=url, user=role.user, password=role.password, driver=driver
            )
            stack.push_async_callback(pool.close)
            pools.append(pool)
        reader, writer, admin = pools
        await create_indexes(admin, [INDEXES])
        documents = MongoDocuments(
            runtime=runtime,
            reader=reader,
            writer=writer,
            admin=admin,
            audit=entries(),
            documents=stored_documents(),
        )
        await documents.prepare([NOTES, PLAIN, SECRETS])
        yield documents, mongo_audit(writer, admin, on_recorded=recorded)


@pytest.fixture(params=["memory", "pymongo", "motor"])
def kept(request: pytest.FixtureRequest, run_real: Driver) -> OnDocuments:
    def on_memory(body: Callable[[Kept], Awaitable[None]]) -> None:
        async def main(runtime: Runtime) -> None:
            recorded: list[AuditEvent] = []
            audit = MemoryAuditLog(on_recorded=recorded.append)
            await body(Kept(runtime, MemoryDocuments(audit=audit), audit, recorded))

        run_real(main)

    def on_mongo(body: Callable[[Kept], Awaitable[None]]) -> None:
        mongod: MongodServer = request.getfixturevalue("mongod")
        with database_of_its_own(mongod) as url:

            async def main(runtime: Runtime) -> None:
                recorded: list[AuditEvent] = []
                async with mongo_documents(runtime, mongod, url, request.param, recorded.append) as opened:
                    documents, audit = opened
                    await body(Kept(runtime, documents, audit, recorded))

            run_real(main)

    return on_memory if request.param == "memory" else on_mongo
