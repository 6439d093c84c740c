"""Fields under keys of their own: one key a root key, collection and field, by HKDF-SHA256 (RFC 5869).

AES-256-GCM takes random nonces, so one key may seal 2³² values (NIST SP 800-38D, 8.3): a ring is rotated
before a field has so many.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from adapters.crypto.derivation import derived_key, root_key
from domain.encryption.envelope import (
    HEADER_BYTES,
    KEY_ID_BYTES,
    NONCE_BYTES,
    FieldFault,
    FieldPlace,
    header,
    measured,
    parse_envelope,
)
from domain.encryption.keyring import EncryptionRing, Ring, RingKey, changes_at_ms, writing_key
from domain.encryption.policies import EncryptionAlgorithm, FieldPolicy
from ports.clock import Clock
from ports.encryption.field_cipher import FieldCipher, UnreadableField
from ports.entropy import Entropy

INDEX_BYTES: Final = 16
"""Of HMAC-SHA256: two texts share an index by chance about once in 2⁶⁴ of them."""
_PLACE_BYTES: Final = 16


class FieldKeyring:
    """The root keys of fields, of a ring that can be replaced while it is used."""

    def __init__(
        self, ring: EncryptionRing, *, clock: Clock, look: Callable[[], Ring | None] | None = None
    ) -> None:
        """`look` gives the keys where they are other ones than before; it bounds itself how often it looks.
        Stretches every passphrase of the ring."""
        self.index_root = ring.index_root
        self._clock = clock
        self._look = look
        self._stretched: dict[RingKey, bytes] = {}
        self._until_ms: int | None = None
        self.take(ring.keys, self.roots_of(ring.keys))

    @property
    def roots(self) -> Mapping[bytes, bytes]:
        """The root keys by their ids: the same object until a ring is taken."""
        return self._roots

    def writing_id(self) -> bytes:
        """The id of the key that writes now."""
        if self._until_ms is not None and self._clock.now_ms() >= self._until_ms:
            self._choose()
        return self._writing_id

    def root(self, key_id: bytes) -> bytes | None:
        """The root key of this id. Where it is unknown the ring is looked at again: another process may have
        added it a moment ago."""
        root = self._roots.get(key_id)
        if root is None and self._look is not None:
            ring = self._look()
            if ring is not None:
                self.take(ring, self.roots_of(ring))
                root = self._roots.get(key_id)
        return root

    def roots_of(self, ring: Ring) -> Mapping[RingKey, bytes]:
        """The root of each key. A passphrase that was not stretched before takes a quarter of a second; the
        call changes nothing, and may be made in a thread."""
        known = self._stretched
        return {key: known.get(_material(key)) or root_key(key) for key in ring}

    def take(self, ring: Ring, roots: Mapping[RingKey, bytes]) -> None:
        """Goes on with a ring whose roots are at hand. Keys that it lacks read no more."""
        self._ids = {key: key_id_of(root) for key, root in roots.items()}
        self._stretched = {_material(key): root for key, root in roots.items()}
        self._roots: Mapping[bytes, bytes] = {self._ids[key]: root for key, root in roots.items()}
        self._ring = ring
        self._choose()

    def _choose(self) -> None:
        now_ms = self._clock.now_ms()
        self._writing_id = self._ids[writing_key(self._ring, now_ms)]
        self._until_ms = changes_at_ms(self._ring, now_ms, lifetimes_ms=())


class _Key(Protocol):
    """One root key's key for the field. `context` is what is authenticated along."""

    def seal(self, plaintext: bytes, context: bytes) -> bytes: ...

    def open(self, sealed: bytes, context: bytes) -> bytes | None:
        """The plaintext of what an envelope holds; None for what was not sealed with this key and context."""


class AesGcmKey:
    __slots__ = ("_aes", "_entropy")

    def __init__(self, key: bytes, entropy: Entropy) -> None:
        self._aes = AESGCM(key)
        self._entropy = entropy

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        nonce = self._entropy.token(NONCE_BYTES)
        return nonce + self._aes.encrypt(nonce, plaintext, context)

    def open(self, sealed: bytes, context: bytes) -> bytes | None:
        try:
            return self._aes.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], context)
        except InvalidTag:
            return None


class FernetKey:
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

    def open(self, sealed: bytes, context: bytes) -> bytes | None:
        try:
            opened = self._fernet.decrypt(base64.urlsafe_b64encode(sealed))
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
        self._roots = keyring.roots
        self._keys: dict[bytes, _Key] = {}
        """By header: algorithm and root key. As many as a ring has, times the algorithms."""
        self._index_key = derived_key(keyring.index_root, _purpose("blind-index", policy))

    @property
    def policy(self) -> FieldPolicy:
        return self._policy

    def encrypt(self, document_id: str, text: str) -> bytes:
        head = header(self._policy.algorithm, self._keyring.writing_id())
        key = self._key(head, self._policy.algorithm)
        if key is None:
            raise LookupError("a ring lacks its own writing key")
        return head + key.seal(text.encode("utf-8", "surrogatepass"), self._context(head, document_id))

    def decrypt(self, document_id: str, stored: bytes) -> str:
        envelope = parse_envelope(stored)
        if isinstance(envelope, FieldFault):
            raise UnreadableField(self._named(document_id), envelope)
        head = stored[:HEADER_BYTES]
        key = self._key(head, envelope.algorithm)
        if key is None:
            raise UnreadableField(self._named(document_id), FieldFault.UNKNOWN_KEY)
        opened = key.open(envelope.sealed, self._context(head, document_id))
        if opened is None:
            raise UnreadableField(self._named(document_id), FieldFault.NOT_AUTHENTIC)
        return opened.decode("utf-8", "surrogatepass")

    def blind_index(self, text: str) -> bytes:
        if not self._policy.indexed:
            raise ValueError(f"`{self._policy.field}` of {self._policy.collection} has no blind index")
        digest = hmac.digest(self._index_key, text.encode("utf-8", "surrogatepass"), "sha256")
        return digest[:INDEX_BYTES]

    def is_current(self, stored: bytes) -> bool:
        return stored.startswith(header(self._policy.algorithm, self._keyring.writing_id()))

    def _key(self, head: bytes, algorithm: EncryptionAlgorithm) -> _Key | None:
        if self._roots is not self._keyring.roots:
            self._forget()
        return self._keys.get(head) or self._derive(head, algorithm)

    def _forget(self) -> None:
        """Another ring was taken: a key that left it reads no more."""
        self._keys.clear()
        self._roots = self._keyring.roots

    def _derive(self, head: bytes, algorithm: EncryptionAlgorithm) -> _Key | None:
        root = self._keyring.root(head[-KEY_ID_BYTES:])
        if root is None:
            return None
        derived = derived_key(root, _purpose(algorithm.name.lower(), self._policy))
        key: _Key
        match algorithm:
            case EncryptionAlgorithm.AES_256_GCM:
                key = AesGcmKey(derived, self._entropy)
            case EncryptionAlgorithm.FERNET:
                key = FernetKey(derived, self._clock)
        self._keys[head] = key
        return key

    def _context(self, head: bytes, document_id: str) -> bytes:
        """`additional_data`, of which collection and field are put together once."""
        return head + self._place + measured(document_id)

    def _named(self, document_id: str) -> FieldPlace:
        return FieldPlace(self._policy.collection, self._policy.field, document_id)


def key_id_of(root: bytes) -> bytes:
    """How a root key is named in an envelope. It tells nothing of the key."""
    return derived_key(root, "field-encryption/key-id")[:KEY_ID_BYTES]


def _material(key: RingKey) -> RingKey:
    """A key as its root depends on it, whenever it writes."""
    return replace(key, writes_from_ms=0)


def _purpose(use: str, policy: FieldPolicy) -> str:
    """Collection and field carry their lengths: no two places share a key."""
    collection, field = policy.collection, policy.field
    return f"field-encryption/{use}/{len(collection)}:{collection}/{len(field)}:{field}"


def _place_digest(context: bytes) -> bytes:
    return hashlib.sha256(context).digest()[:_PLACE_BYTES]


def _proof(cipher: RingFieldCipher) -> FieldCipher:
    """mypy holds the adapter to its port here."""
    return cipher
