"""Which fields are encrypted where they are stored, how, and which of them can be found by their value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class EncryptionAlgorithm(Enum):
    """The value is what stands in an envelope: it never changes."""

    AES_256_GCM = 1
    FERNET = 2
    """AES-128-CBC with HMAC-SHA256, as the Fernet specification has it, for fields that others read."""


@dataclass(frozen=True, slots=True)
class Encrypted:
    """How a plugin wants one field of a collection encrypted where it is stored.

    `indexed` makes documents found by the field's exact value, and shows which values are equal to anyone
    who reads the store.
    """

    algorithm: EncryptionAlgorithm = EncryptionAlgorithm.AES_256_GCM
    indexed: bool = False


@dataclass(frozen=True, slots=True)
class FieldPolicy:
    """One encrypted field of one collection."""

    collection: str
    field: str
    algorithm: EncryptionAlgorithm = EncryptionAlgorithm.AES_256_GCM
    indexed: bool = False
    """Whether a blind index finds documents by the field's exact value. Equal values show as equal to anyone
    who reads the store; nothing else does."""


USER_EMAIL = FieldPolicy("users", "email", indexed=True)
SESSION_ADDRESS = FieldPolicy("user_sessions", "address")
SESSION_USER_AGENT = FieldPolicy("user_sessions", "user_agent")
AUDIT_ADDRESS = FieldPolicy("audit_logs", "address")

POLICIES: tuple[FieldPolicy, ...] = (USER_EMAIL, SESSION_ADDRESS, SESSION_USER_AGENT, AUDIT_ADDRESS)
"""The service's own. A plugin declares its collections' by `register_collection`."""
