"""Ciphers of stored fields over a ring of a suite's own, and the repositories that they encrypt for."""

from __future__ import annotations

from adapters.crypto.field_cipher import FieldKeyring, RingFieldCipher
from adapters.mongo.audit import AuditEntries, MongoAuditLog
from adapters.mongo.documents.stored_documents import StoredDocuments
from adapters.mongo.driver.interface import MongoDriver
from adapters.mongo.encrypted_collections import own_encrypted_collections
from adapters.mongo.identity.api_keys import MongoApiKeys
from adapters.mongo.identity.credential_store import MongoCredentials
from adapters.mongo.identity.sessions import MongoSessions
from adapters.mongo.identity.users import MongoUsers, UserDocuments
from adapters.mongo.sweep import MongoSweep
from adapters.runtime.system import SystemClock, SystemEntropy
from composition.config.ring_file import encryption_ring_text
from domain.encryption.keyring import EncryptionRing, RingKey
from domain.encryption.policies import (
    AUDIT_ADDRESS,
    SESSION_ADDRESS,
    SESSION_USER_AGENT,
    USER_EMAIL,
    FieldPolicy,
)
from ports.audit import OnRecorded
from ports.encryption.field_cipher import FieldCipher

INDEX_ROOT = "an index root of a suite, thirty-two bytes long"
KEYS = ("the first root key of a suite of conformance", "the second root key of a suite of conformance")


def keyring(*secrets: str) -> FieldKeyring:
    """Of which the last secret writes."""
    keys = tuple(RingKey(secret) for secret in secrets or KEYS[:1])
    return FieldKeyring(EncryptionRing(INDEX_ROOT, keys), clock=SystemClock())


def ring_text() -> str:
    """The secret file of `keyring()`."""
    return encryption_ring_text(EncryptionRing(INDEX_ROOT, (RingKey(KEYS[0]),)))


def cipher(policy: FieldPolicy, ring: FieldKeyring | None = None) -> FieldCipher:
    return RingFieldCipher(policy, ring or keyring(), clock=SystemClock(), entropy=SystemEntropy())


def entries(ring: FieldKeyring | None = None) -> AuditEntries:
    return AuditEntries(address=cipher(AUDIT_ADDRESS, ring))


def user_documents(ring: FieldKeyring | None = None) -> UserDocuments:
    return UserDocuments(email=cipher(USER_EMAIL, ring))


def stored_documents(ring: FieldKeyring | None = None) -> StoredDocuments:
    shared = ring or keyring()
    return StoredDocuments(lambda policy: cipher(policy, shared))


def own_collections(driver: MongoDriver, ring: FieldKeyring) -> tuple[MongoSweep, ...]:
    return own_encrypted_collections(
        driver=driver,
        user_documents=user_documents(ring),
        session_ciphers=[cipher(SESSION_ADDRESS, ring), cipher(SESSION_USER_AGENT, ring)],
        audit_ciphers=[cipher(AUDIT_ADDRESS, ring)],
    )


def mongo_users(driver: MongoDriver, ring: FieldKeyring | None = None) -> MongoUsers:
    return MongoUsers(driver=driver, documents=user_documents(ring), audit=entries(ring))


def mongo_sessions(driver: MongoDriver, ring: FieldKeyring | None = None) -> MongoSessions:
    return MongoSessions(
        driver=driver,
        address=cipher(SESSION_ADDRESS, ring),
        user_agent=cipher(SESSION_USER_AGENT, ring),
        audit=entries(ring),
    )


def mongo_api_keys(driver: MongoDriver) -> MongoApiKeys:
    return MongoApiKeys(driver=driver, audit=entries())


def mongo_credentials(driver: MongoDriver) -> MongoCredentials:
    return MongoCredentials(driver=driver, admin=driver, documents=user_documents(), audit=entries())


def mongo_audit(
    *drivers: MongoDriver, on_recorded: OnRecorded | None = None, ring: FieldKeyring | None = None
) -> MongoAuditLog:
    """Writes through the first driver, and removes through the last."""
    return MongoAuditLog(drivers=drivers, entries=entries(ring), on_recorded=on_recorded)
