"""The store in MongoDB, under three database roles, and in Redis."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from adapters.crypto.derivation import derived_key
from adapters.crypto.sealing import AesGcmSealer
from adapters.mongo import audit, idempotency
from adapters.mongo.catalog import CATALOG, VIEWS
from adapters.mongo.documents import document_store
from adapters.mongo.documents.stored_documents import StoredDocuments
from adapters.mongo.encrypted_collections import own_encrypted_collections
from adapters.mongo.identity import api_keys, credential_store, login_failures, sessions, users
from adapters.mongo.indexes import create_indexes
from adapters.mongo.ledger import checkpoints, claims, journal
from adapters.mongo.ledger.server_clock import ClockProbe, ServerClock
from adapters.mongo.pools import MongoLogin, MongoPools, connect_pools
from adapters.mongo.views import create_views
from adapters.redis.bus import RedisBus
from adapters.redis.cache import RedisCache
from adapters.redis.driver.connect import connect
from adapters.redis.driver.failover import Generation
from adapters.redis.driver.interface import RedisDriver
from adapters.redis.limits.limiter import RedisLimiter
from adapters.redis.nonces import RedisNonces
from adapters.redis.probes import RedisBusProbe, RedisProbe
from adapters.runtime.system import SystemEntropy
from composition.config.secrets import Secrets
from composition.config.settings import Settings
from composition.wiring.field_encryption import FieldEncryption
from composition.wiring.stores import Stores
from domain.encryption.policies import AUDIT_ADDRESS, SESSION_ADDRESS, SESSION_USER_AGENT, USER_EMAIL
from ports.audit import OnRecorded
from ports.encryption.encrypted_collection import EncryptedCollection
from ports.entropy import Entropy
from ports.runtime import Runtime

_log = logging.getLogger("credit.mongo")

MESSAGE_TIMEOUT_MS_MAX = 1_000
DECISION_LANES = 2
"""Pipelines of decisions: one is filled while Redis works on the other."""


async def connect_mongo(runtime: Runtime, settings: Settings, secrets: Secrets) -> MongoPools:
    """The pools of the three roles. Does not wait for a server."""
    return await connect_pools(
        runtime=runtime,
        url=settings.mongo_url,
        read_write=MongoLogin(secrets.mongodb_user, secrets.mongodb_password),
        read_only=MongoLogin(secrets.mongodb_analytics_user, secrets.mongodb_analytics_password),
        admin=MongoLogin(secrets.mongodb_admin_user, secrets.mongodb_admin_password),
        driver=settings.mongo_driver.value,
        operation_timeout_ms_max=settings.mongo_operation_timeout_ms,
        connections_max=settings.mongo_pool_size,
    )


async def live_store(
    *,
    runtime: Runtime,
    settings: Settings,
    secrets: Secrets,
    entropy: Entropy,
    fields: FieldEncryption,
    on_recorded: OnRecorded,
) -> Stores:
    """The store, whose drivers belong to the running loop. `fields` encrypts fields in MongoDB; `on_recorded`
    is called with each audit event."""
    pools = await connect_mongo(runtime, settings, secrets)
    generation, password = Generation(runtime), secrets.redis_password
    redis = partial(connect, runtime, url=settings.redis_url, password=password, generation=generation)
    decisions = redis(decision_timeout_ms_max=settings.redis_decision_timeout_ms, lanes=DECISION_LANES)
    # A driver of its own: a message may wait longer than a decision, and must not delay one.
    publishing = redis(decision_timeout_ms_max=MESSAGE_TIMEOUT_MS_MAX)
    # Another one: answers are large, and a decision must not wait behind one in a pipeline.
    caching = redis(decision_timeout_ms_max=settings.redis_decision_timeout_ms)
    naming_key = redis_naming_key(secrets)
    sealer = partial(AesGcmSealer, root_key=secrets.index_root.encode(), entropy=entropy)
    bus = _bus(runtime, publishing, naming_key, sealer(purpose="bus"))
    limiter_over = partial(redis_limiter, settings=settings, secrets=secrets, entropy=entropy)
    limiter = limiter_over(decisions)
    ledger_clock = ServerClock(driver=pools.read_write, runtime=runtime)

    async def stop() -> None:
        await ledger_clock.stop()
        for part in (bus, decisions, publishing, caching, pools):
            await part.close()

    writer = pools.read_write
    probes = (RedisBusProbe(bus=bus), ClockProbe(ledger_clock))
    personal = _personal_stores(runtime, pools, fields, on_recorded)
    return Stores(
        users=personal.users,
        sessions=personal.sessions,
        api_keys=personal.api_keys,
        credentials=personal.credentials,
        login_failures=login_failures.MongoLoginFailures(driver=writer),
        answers=idempotency.MongoIdempotencyStore(driver=writer),
        audit=personal.audit,
        journal=journal.MongoJournal(writer),
        journal_log=journal.MongoJournal(pools.read_only),
        checkpoints=checkpoints.MongoCheckpoints(writer),
        claims=claims.MongoClaims(writer),
        ledger_clock=ledger_clock,
        documents=personal.documents,
        field_encryption=fields,
        encrypted_collections=personal.encrypted_collections,
        cache=_cache(caching, naming_key, sealer(purpose="cache")),
        limiter=limiter,
        patient_limiter=limiter_over(publishing),
        nonces=RedisNonces(driver=decisions, naming_key=naming_key),
        bus=bus,
        dependencies=(*pools.probes(), RedisProbe(driver=decisions, limiter=limiter), *probes),
        start=partial(_prepare, pools, ledger_clock),
        stop=stop,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _PersonalStores:
    """Those with encrypted fields, or with events of the audit log, which have one."""

    users: users.MongoUsers
    sessions: sessions.MongoSessions
    api_keys: api_keys.MongoApiKeys
    credentials: credential_store.MongoCredentials
    audit: audit.MongoAuditLog
    documents: document_store.MongoDocuments
    own_collections: Sequence[EncryptedCollection]

    def encrypted_collections(self) -> Sequence[EncryptedCollection]:
        """The service's own, and those that plugins have declared by now."""
        return (*self.own_collections, *self.documents.encrypted_collections())


def _personal_stores(
    runtime: Runtime, pools: MongoPools, fields: FieldEncryption, on_recorded: OnRecorded
) -> _PersonalStores:
    writer, admin = pools.read_write, pools.admin
    address, user_agent = fields.cipher(SESSION_ADDRESS), fields.cipher(SESSION_USER_AGENT)
    entries = audit.AuditEntries(address=fields.cipher(AUDIT_ADDRESS))
    user_documents = users.UserDocuments(email=fields.cipher(USER_EMAIL))
    return _PersonalStores(
        users=users.MongoUsers(driver=writer, documents=user_documents, audit=entries),
        sessions=sessions.MongoSessions(driver=writer, address=address, user_agent=user_agent, audit=entries),
        api_keys=api_keys.MongoApiKeys(driver=writer, audit=entries),
        credentials=credential_store.MongoCredentials(
            driver=writer, admin=admin, documents=user_documents, audit=entries
        ),
        audit=audit.MongoAuditLog(drivers=(writer, admin), entries=entries, on_recorded=on_recorded),
        documents=document_store.MongoDocuments(
            runtime=runtime,
            reader=pools.read_only,
            writer=writer,
            admin=admin,
            audit=entries,
            documents=StoredDocuments(fields.cipher),
        ),
        own_collections=own_encrypted_collections(
            driver=admin,
            user_documents=user_documents,
            session_ciphers=[address, user_agent],
            audit_ciphers=[fields.cipher(AUDIT_ADDRESS)],
        ),
    )


async def _prepare(pools: MongoPools, ledger_clock: ServerClock) -> None:
    """Creates missing indexes and views, once MongoDB proved to be a replica set, and starts its clock."""
    await pools.replica_set()
    if earlier := await pools.learn_names():
        _log.warning(
            "MongoDB: collections have names of an earlier release (%s): run init-scripts/mongodb-init.js",
            ", ".join(earlier),
        )
    await create_indexes(pools.admin, CATALOG)
    await create_views(pools.admin, VIEWS)
    await ledger_clock.start()


def redis_naming_key(secrets: Secrets) -> bytes:
    """The key that hashes every name in Redis."""
    return derived_key(secrets.index_root, "redis-names")


def redis_limiter(
    driver: RedisDriver, settings: Settings, secrets: Secrets, entropy: Entropy | None = None
) -> RedisLimiter:
    """The limiter of the service over a driver."""
    sealer = AesGcmSealer(
        root_key=secrets.index_root.encode(), purpose="redis-bans", entropy=entropy or SystemEntropy()
    )
    return RedisLimiter(
        driver=driver,
        ban_policy=settings.ban_policy(),
        naming_key=redis_naming_key(secrets),
        seal=lambda plaintext: sealer.seal(plaintext, b"ban"),
        open_sealed=lambda sealed: sealer.open(sealed, b"ban"),
    )


def _bus(runtime: Runtime, driver: RedisDriver, naming_key: bytes, sealer: AesGcmSealer) -> RedisBus:
    return RedisBus(
        runtime=runtime,
        driver=driver,
        naming_key=naming_key,
        seal=lambda plaintext: sealer.seal(plaintext, b"bus"),
        open_sealed=lambda sealed: sealer.open(sealed, b"bus"),
    )


def _cache(driver: RedisDriver, naming_key: bytes, sealer: AesGcmSealer) -> RedisCache:
    return RedisCache(driver=driver, naming_key=naming_key, seal=sealer.seal, open_sealed=sealer.open)
