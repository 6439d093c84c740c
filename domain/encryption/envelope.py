"""How an encrypted value is written: `version (1) | algorithm (1) | key id (8) | sealed`.

What is sealed depends on the algorithm: for AES-256-GCM `nonce (12) | ciphertext | tag (16)`, for Fernet
its token, undone of base64. The header and the value's place are authenticated along (`additional_data`), so
a value that was moved to another document, field or collection does not open.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from domain.encryption.policies import EncryptionAlgorithm

VERSION = 1
KEY_ID_BYTES = 8
HEADER_BYTES = 2 + KEY_ID_BYTES
NONCE_BYTES = 12
TAG_BYTES = 16
FERNET_BYTES_MIN = 1 + 8 + 16 + 16 + 32
"""Version, time, initialisation vector, one block, HMAC."""

_SEALED_BYTES_MIN = {
    EncryptionAlgorithm.AES_256_GCM: NONCE_BYTES + TAG_BYTES,
    EncryptionAlgorithm.FERNET: FERNET_BYTES_MIN,
}
_ALGORITHMS = {algorithm.value: algorithm for algorithm in EncryptionAlgorithm}
_LENGTH_BYTES = 4


class FieldPlace(NamedTuple):
    """Where a value belongs. Each part may be any text."""

    collection: str
    field: str
    document_id: str


class Envelope(NamedTuple):
    algorithm: EncryptionAlgorithm
    key_id: bytes
    sealed: bytes


class FieldFault(Enum):
    """Why a stored value cannot be read, in words for operators; in order of precedence."""

    TRUNCATED = "it is shorter than any encrypted value"
    UNKNOWN_VERSION = "it was written by another version"
    UNKNOWN_ALGORITHM = "it was written with another algorithm"
    UNKNOWN_KEY = "it was written with a key that is not in the ring"
    NOT_AUTHENTIC = "it was changed, or belongs to another document, field or collection"


def header(algorithm: EncryptionAlgorithm, key_id: bytes) -> bytes:
    return bytes((VERSION, algorithm.value)) + key_id


def parse_envelope(stored: bytes) -> Envelope | FieldFault:
    """The parts of a stored value, whatever bytes it is. Authenticity is not looked at."""
    if len(stored) < HEADER_BYTES:
        return FieldFault.TRUNCATED
    if stored[0] != VERSION:
        return FieldFault.UNKNOWN_VERSION
    algorithm = _ALGORITHMS.get(stored[1])
    if algorithm is None:
        return FieldFault.UNKNOWN_ALGORITHM
    sealed = stored[HEADER_BYTES:]
    if len(sealed) < _SEALED_BYTES_MIN[algorithm]:
        return FieldFault.TRUNCATED
    return Envelope(algorithm, stored[2:HEADER_BYTES], sealed)


def additional_data(envelope_header: bytes, place: FieldPlace) -> bytes:
    """What is authenticated along: the header, then the place, part by part (`measured`)."""
    return envelope_header + b"".join(map(measured, place))


def measured(part: str) -> bytes:
    """A part of a place after its length, so that no two places share their bytes."""
    written = part.encode("utf-8", "surrogatepass")
    return len(written).to_bytes(_LENGTH_BYTES, "big") + written
