"""AES-256-GCM under keys that live as long as a process.

`version (1) | salt (16) | nonce (12) | ciphertext and tag`. Each process derives its own key from the root
by HKDF-SHA256 with a salt of its own, so that no key comes near the 2³² messages that random nonces
allow (NIST SP 800-38D, 8.3); the salt travels along, so that any other worker can derive it too.
"""

from __future__ import annotations

from collections import OrderedDict

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from adapters.crypto.derivation import hkdf
from ports.encryption.sealing import Sealer
from ports.entropy import Entropy

VERSION = b"\x01"
SALT_BYTES = 16
NONCE_BYTES = 12
TAG_BYTES = 16
ROOT_KEY_BYTES_MIN = 32
KEYS_CACHED_MAX = 64

_NONCE_AT = len(VERSION) + SALT_BYTES
_CIPHERTEXT_AT = _NONCE_AT + NONCE_BYTES


class AesGcmSealer:
    """`Sealer` for one purpose: a text sealed for another one does not open."""

    def __init__(self, *, root_key: bytes, purpose: str, entropy: Entropy) -> None:
        """Raises `ValueError` for a root key shorter than 32 bytes."""
        if len(root_key) < ROOT_KEY_BYTES_MIN:
            raise ValueError(f"a root key has at least {ROOT_KEY_BYTES_MIN} bytes")
        self._root_key = root_key
        self._info = b"credit-system/seal/" + purpose.encode()
        self._entropy = entropy
        self._head = VERSION + entropy.token(SALT_BYTES)
        self._own = self._derive(self._head)
        self._others: OrderedDict[bytes, AESGCM] = OrderedDict()

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        nonce = self._entropy.token(NONCE_BYTES)
        return self._head + nonce + self._own.encrypt(nonce, plaintext, self._head + context)

    def open(self, sealed: bytes, context: bytes) -> bytes | None:
        if len(sealed) < _CIPHERTEXT_AT + TAG_BYTES or not sealed.startswith(VERSION):
            return None
        head = sealed[:_NONCE_AT]
        try:
            return self._key(head).decrypt(
                sealed[_NONCE_AT:_CIPHERTEXT_AT], sealed[_CIPHERTEXT_AT:], head + context
            )
        except InvalidTag:
            return None

    def _key(self, head: bytes) -> AESGCM:
        if head == self._head:
            return self._own
        key = self._others.get(head)
        if key is None:
            key = self._others[head] = self._derive(head)
            if len(self._others) > KEYS_CACHED_MAX:
                self._others.popitem(last=False)
        else:
            self._others.move_to_end(head)
        return key

    def _derive(self, head: bytes) -> AESGCM:
        return AESGCM(hkdf(self._root_key, info=self._info, salt=head[len(VERSION) :]))


def _proof(sealer: AesGcmSealer) -> Sealer:
    """mypy holds the adapter to its port here."""
    return sealer
