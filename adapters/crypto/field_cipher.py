"""Fields under keys of their own: one key a root key, collection and field, by HKDF-SHA256 (RFC 5869).

AES-256-GCM takes random nonces, so one key may seal 2³² values (NIST SP 800-38D, 8.3): a ring is rotated
before a field has so many.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from adapters.crypto.derivation import derived_key
from domain.encryption.envelope import (
    ENVELOPE_BYTES_MIN,
    HEADER_BYTES,
    KEY_ID_BYTES,
    NONCE_BYTES,
    FieldFault,
    FieldPlace,
    header,
    measured,
    parse_envelope,
)
from domain.encryption.keyring import Ring, changes_at_ms, writing_key
from domain.encryption.policies import Algorithm, FieldPolicy
from ports.clock import Clock
from ports.encryption.field_cipher import FieldCipher, UnreadableField
from ports.entropy import Entropy

INDEX_BYTES: Final = 16
"""Of HMAC-SHA256: two texts share an index by chance about once in 2⁶⁴ of them."""
_PLACE_BYTES: Final = 16
_NONCE_END: Final = HEADER_BYTES + NONCE_BYTES


class FieldKeyring:
    """The root keys of fields, of a ring that can be replaced while it is used."""

    def __init__(
        self, ring: Ring, *, index_root: str, clock: Clock, look: Callable[[], Ring | None] | None = None
    ) -> None:
        """`index_root` is what blind indexes hang on. `look` gives the ring where it is another one than
        before; it bounds itself how often it looks."""
        self._clock = clock
        self._look = look
        self.index_root = index_root
        self._take(ring)

    def writing_id(self) -> bytes:
        """The id of the key that writes now."""
        if self._until_ms is not None and self._clock.now_ms() >= self._until_ms:
            self._take(self._ring)
        return self._writing_id

    def secret(self, key_id: bytes) -> str | None:
        """The root key of this id. Where it is unknown the ring is looked at again: another process may have
        added it a moment ago."""
        secret = self._secrets.get(key_id)
        if secret is None and self._look is not None:
            ring = self._look()
            if ring is not None and ring != self._ring:
                self._take(ring)
                secret = self._secrets.get(key_id)
        return secret

    def take(self, ring: Ring) -> None:
        """Goes on with another ring."""
        if ring != self._ring:
            self._take(ring)

    def _take(self, ring: Ring) -> None:
        now_ms = self._clock.now_ms()
        self._ring = ring
        self._secrets = {key_id_of(key.secret): key.secret for key in ring}
        self._writing_id = key_id_of(writing_key(ring, now_ms).secret)
        self._until_ms = changes_at_ms(ring, now_ms, lifetimes_ms=())


class _Key(Protocol):
    """One root key's key for the field. `context` is what is authenticated along."""

    def seal(self, plaintext: bytes, context: bytes) -> bytes: ...

    def open(self, stored: bytes, context: bytes) -> bytes | None:
        """The plaintext of an envelope; None for what was not sealed with this key and context."""


class _AesGcm:
    __slots__ = ("_aes", "_entropy")

    def __init__(self, key: bytes, entropy: Entropy) -> None:
        self._aes = AESGCM(key)
        self._entropy = entropy

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        nonce = self._entropy.token(NONCE_BYTES)
        return nonce + self._aes.encrypt(nonce, plaintext, context)

    def open(self, stored: bytes, context: bytes) -> bytes | None:
        try:
            return self._aes.decrypt(stored[HEADER_BYTES:_NONCE_END], stored[_NONCE_END:], context)
        except InvalidTag:
            return None


class _Fernet:
    """Fernet authenticates no further data: a digest of the context is sealed along with the text."""

    __slots__ = ("_clock", "_fernet")

    def __init__(self, key: bytes, clock: Clock) -> None:
        self._fernet = Fernet(base64.urlsafe_b64encode(key))
        self._clock = clock

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        now_s = self._clock.now_ms() // 1000
        # Undone of base64, in which several texts mean one token.
        return base64.urlsafe_b64decode(
            self._fernet.encrypt_at_time(_place_digest(context) + plaintext, now_s)
        )

    def open(self, stored: bytes, context: bytes) -> bytes | None:
        try:
            opened = self._fernet.decrypt(base64.urlsafe_b64encode(stored[HEADER_BYTES:]))
        except InvalidToken:
            return None
        digest, plaintext = opened[:_PLACE_BYTES], opened[_PLACE_BYTES:]
        return plaintext if hmac.compare_digest(digest, _place_digest(context)) else None


class RingFieldCipher:
    """`FieldCipher` of one field, over a ring that all fields share."""

    def __init__(self, policy: FieldPolicy, keyring: FieldKeyring, *, clock: Clock, entropy: Entropy) -> None:
        self._policy = policy
        self._keyring = keyring
        self._clock = clock
        self._entropy = entropy
        self._place = measured(policy.collection) + measured(policy.field)
        self._keys: dict[bytes, _Key] = {}
        """By header: algorithm and root key. As many as a ring has, times the algorithms."""
        self._index_key = derived_key(keyring.index_root, _purpose("blind-index", policy))

    @property
    def policy(self) -> FieldPolicy:
        return self._policy

    def encrypt(self, document_id: str, text: str) -> bytes:
        head = header(self._policy.algorithm, self._keyring.writing_id())
        key = self._keys.get(head) or self._derive(head, self._policy.algorithm)
        if key is None:
            raise LookupError("a ring lacks its own writing key")
        context = head + self._place + measured(document_id)
        return head + key.seal(text.encode("utf-8", "surrogatepass"), context)

    def decrypt(self, document_id: str, stored: bytes) -> str:
        head = stored[:HEADER_BYTES]
        # A header that was met before is good: only the length of what follows is left to look at.
        key = self._keys.get(head)
        if key is None or len(stored) < ENVELOPE_BYTES_MIN:
            envelope = parse_envelope(stored)
            if isinstance(envelope, FieldFault):
                raise UnreadableField(self._named(document_id), envelope)
            key = self._derive(head, envelope.algorithm)
            if key is None:
                raise UnreadableField(self._named(document_id), FieldFault.UNKNOWN_KEY)
        opened = key.open(stored, head + self._place + measured(document_id))
        if opened is None:
            raise UnreadableField(self._named(document_id), FieldFault.NOT_AUTHENTIC)
        return opened.decode("utf-8", "surrogatepass")

    def blind_index(self, text: str) -> bytes:
        digest = hmac.digest(self._index_key, text.encode("utf-8", "surrogatepass"), "sha256")
        return digest[:INDEX_BYTES]

    def is_current(self, stored: bytes) -> bool:
        return stored.startswith(header(self._policy.algorithm, self._keyring.writing_id()))

    def _derive(self, head: bytes, algorithm: Algorithm) -> _Key | None:
        secret = self._keyring.secret(head[-KEY_ID_BYTES:])
        if secret is None:
            return None
        derived = derived_key(secret, _purpose(algorithm.name.lower(), self._policy))
        key: _Key
        match algorithm:
            case Algorithm.AES_256_GCM:
                key = _AesGcm(derived, self._entropy)
            case Algorithm.FERNET:
                key = _Fernet(derived, self._clock)
        self._keys[head] = key
        return key

    def _named(self, document_id: str) -> FieldPlace:
        return FieldPlace(self._policy.collection, self._policy.field, document_id)


def key_id_of(secret: str) -> bytes:
    """How a root key is named in an envelope. It tells nothing of the key."""
    return derived_key(secret, "field-encryption/key-id")[:KEY_ID_BYTES]


def _purpose(use: str, policy: FieldPolicy) -> str:
    """Collection and field carry their lengths: no two places share a key."""
    collection, field = policy.collection, policy.field
    return f"field-encryption/{use}/{len(collection)}:{collection}/{len(field)}:{field}"


def _place_digest(context: bytes) -> bytes:
    return hashlib.sha256(context).digest()[:_PLACE_BYTES]


def _proof(cipher: RingFieldCipher) -> FieldCipher:
    """mypy holds the adapter to its port here."""
    return cipher
