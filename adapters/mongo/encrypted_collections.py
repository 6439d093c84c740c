"""The service's own collections with encrypted fields."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.mongo import audit
from adapters.mongo.driver.interface import MongoDriver
from adapters.mongo.encrypted_fields import settling
from adapters.mongo.identity import sessions, users
from adapters.mongo.sweep import MongoSweep
from ports.encryption.field_cipher import FieldCipher


def own_encrypted_collections(
    *,
    driver: MongoDriver,
    user_documents: users.UserDocuments,
    session_ciphers: Sequence[FieldCipher],
    audit_ciphers: Sequence[FieldCipher],
) -> tuple[MongoSweep, ...]:
    """Under the administrator's role: no other changes audit events."""

    def of(name: str, ciphers: Sequence[FieldCipher]) -> MongoSweep:
        fields = [cipher.policy.field for cipher in ciphers]
        return MongoSweep(driver=driver, name=name, fields=fields, rewriting=settling(ciphers))

    return (
        MongoSweep(
            driver=driver,
            name=users.COLLECTION,
            fields=("email", "email_key"),
            rewriting=user_documents.settling,
        ),
        of(sessions.COLLECTION, session_ciphers),
        of(audit.COLLECTION, audit_ciphers),
    )
