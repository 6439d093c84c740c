"""Plugins' documents as they stand in MongoDB.

The envelope of an encrypted field stands under `sealed`, and holds the value's JSON. Under `fields`, in the
value's own place, stands its blind index (binData), by which equality finds it, or nothing where the field
has no index. So one index of the field serves blind indexes and values in the clear, of before the field was
declared encrypted, alike. A null is not encrypted.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from adapters.mongo.driver.interface import Document as Stored
from adapters.mongo.sweep import Rewrite
from domain.documents.document import Collection, Document, Scalar, complete
from domain.encryption.envelope import FieldFault, FieldPlace
from domain.encryption.policies import FieldPolicy
from ports.encryption.field_cipher import FieldCipher, UnreadableField

FIELDS = "fields"
SEALED = "sealed"


class StoredDocuments:
    """`cipher_of` gives the cipher of a policy."""

    def __init__(self, cipher_of: Callable[[FieldPolicy], FieldCipher]) -> None:
        self._cipher_of = cipher_of
        # As many as there are encrypted fields of declared collections.
        self._ciphers: dict[FieldPolicy, FieldCipher] = {}

    def stored(self, collection: Collection, document: Document) -> dict[str, Any]:
        fields, sealed = dict(document.fields), dict[str, bytes]()
        for policy in collection.policies:
            value = fields.get(policy.field)
            if value is None:
                continue
            cipher = self._cipher(policy)
            sealed[policy.field] = cipher.encrypt(document.id, _text(value))
            if policy.indexed:
                fields[policy.field] = cipher.blind_index(value)
            else:
                del fields[policy.field]
        stored = {"_id": document.id, "revision": document.revision, FIELDS: fields}
        return {**stored, SEALED: sealed} if sealed else stored

    def read(self, collection: Collection, stored: Stored) -> Document:
        """Raises `UnreadableField`. A field that is no longer declared encrypted opens all the same."""
        fields = dict(stored[FIELDS])
        policies = {policy.field: policy for policy in collection.policies}
        for name, envelope in stored.get(SEALED, {}).items():
            cipher = self._cipher(policies.get(name) or FieldPolicy(collection.full_name, name))
            fields[name] = json.loads(cipher.decrypt(stored["_id"], bytes(envelope)))
        for name, value in fields.items():
            if isinstance(value, bytes):
                # A blind index whose envelope is gone.
                place = FieldPlace(collection.full_name, name, stored["_id"])
                raise UnreadableField(place, FieldFault.TRUNCATED)
        # A document stored before a field was declared does not have it.
        return Document(stored["_id"], complete(collection, fields), stored["revision"])

    def is_settled(self, collection: Collection, stored: Stored) -> bool:
        """Whether each encrypted field stands as `stored` would write it now."""
        sealed, fields = stored.get(SEALED, {}), stored[FIELDS]
        for policy in collection.policies:
            envelope, value = sealed.get(policy.field), fields.get(policy.field)
            if envelope is None:
                if value is not None:
                    return False
            elif (
                not self._cipher(policy).is_current(bytes(envelope))
                or isinstance(value, bytes) is not policy.indexed
            ):
                return False
        return True

    def settling(self, collection: Collection, stored: Stored) -> Rewrite | None:
        """Brings a document into the form of its declaration; it stays the same revision."""
        if self.is_settled(collection, stored):
            return None
        anew = self.stored(collection, self.read(collection, stored))
        before = stored.get(SEALED)
        as_read = {
            "_id": {"$eq": stored["_id"]},
            "revision": {"$eq": stored["revision"]},
            SEALED: {"$exists": False} if before is None else {"$eq": before},
        }
        return Rewrite(as_read, rewriting(anew), tuple(anew.get(SEALED, ())))

    def equal(self, collection: Collection, name: str, value: Scalar) -> dict[str, Any]:
        """The condition on `fields.name` by which documents with the value are found, in either form."""
        how = collection.encrypted.get(name)
        if how is None or not isinstance(value, str):
            return {"$eq": value}
        cipher = self._cipher(FieldPolicy(collection.full_name, name, how.algorithm, how.indexed))
        return {"$in": [cipher.blind_index(value), value]}

    def _cipher(self, policy: FieldPolicy) -> FieldCipher:
        cipher = self._ciphers.get(policy)
        if cipher is None:
            cipher = self._ciphers[policy] = self._cipher_of(policy)
        return cipher


def rewriting(stored: Stored) -> dict[str, Any]:
    """The update that makes a standing document be this one."""
    kept = {name: stored[name] for name in (FIELDS, "revision", SEALED) if name in stored}
    return {"$set": kept} if SEALED in stored else {"$set": kept, "$unset": {SEALED: ""}}


def _text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
