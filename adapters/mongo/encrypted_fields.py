"""Encrypted fields of documents: envelopes (binData), beside plain texts that earlier releases wrote."""

from __future__ import annotations

from collections.abc import Sequence

from adapters.mongo.driver.interface import Document
from adapters.mongo.sweep import Rewrite, Rewriting
from ports.encryption.field_cipher import FieldCipher


def sealed(cipher: FieldCipher, document_id: str, text: str) -> bytes | str:
    """What is stored of a text: its envelope. An empty text hides nothing, and is stored as it is."""
    return cipher.encrypt(document_id, text) if text else ""


def opened(cipher: FieldCipher, document_id: str, stored: object) -> str:
    """The text of what is stored. Raises `UnreadableField`."""
    if isinstance(stored, str):
        return stored
    return cipher.decrypt(document_id, bytes(stored) if isinstance(stored, bytes) else b"")


def is_settled(cipher: FieldCipher, stored: object) -> bool:
    """Whether a value stands as `sealed` would write it now."""
    return stored == "" or (isinstance(stored, bytes) and cipher.is_current(bytes(stored)))


def settling(ciphers: Sequence[FieldCipher]) -> Rewriting:
    """Brings the fields of these ciphers into today's form."""

    def rewrite(document: Document) -> Rewrite | None:
        document_id = document["_id"]
        unsettled = [
            cipher for cipher in ciphers if not is_settled(cipher, document.get(cipher.policy.field, ""))
        ]
        if not unsettled:
            return None
        before, after = {}, {}
        for cipher in unsettled:
            field = cipher.policy.field
            before[field] = {"$eq": document[field]}
            after[field] = sealed(cipher, document_id, opened(cipher, document_id, document[field]))
        return Rewrite({"_id": document_id, **before}, {"$set": after}, tuple(after))

    return rewrite
