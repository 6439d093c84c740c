"""What a field cipher seals opens at its very place, and nothing else does."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, replace

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from adapters.crypto.field_cipher import FieldKeyring, RingFieldCipher, key_id_of
from adapters.runtime.system import SystemEntropy
from domain.encryption.envelope import HEADER_BYTES, NONCE_BYTES, FieldFault, FieldPlace, additional_data
from domain.encryption.keyring import WRITE_DELAY_MS, Ring, RingKey
from domain.encryption.policies import Algorithm, FieldPolicy
from ports.encryption.field_cipher import UnreadableField

OLD, NEW, INDEX = (
    "old root key, at least 32 bytes!",
    "new root key, at least 32 bytes!",
    "index root, at least 32 bytes!!!",
)
EMAIL = FieldPolicy("users", "email", indexed=True)
TEXTS = st.text(st.characters(exclude_categories=()), max_size=80)


@dataclass
class Clock:
    at_ms: int = 1_000_000

    def now_ms(self) -> int:
        return self.at_ms


def keyring(*secrets: str, clock: Clock | None = None) -> FieldKeyring:
    ring = tuple(RingKey(secret) for secret in secrets or (OLD,))
    return FieldKeyring(ring, index_root=INDEX, clock=clock or Clock())


def cipher(policy: FieldPolicy = EMAIL, ring: FieldKeyring | None = None) -> RingFieldCipher:
    return RingFieldCipher(policy, ring or keyring(), clock=Clock(), entropy=SystemEntropy())


def fault(of: RingFieldCipher, document_id: str, stored: bytes) -> FieldFault:
    with pytest.raises(UnreadableField) as raised:
        of.decrypt(document_id, stored)
    assert raised.value.place == FieldPlace(of.policy.collection, of.policy.field, document_id)
    return raised.value.fault


@pytest.fixture(params=Algorithm)
def policy(request: pytest.FixtureRequest) -> FieldPolicy:
    algorithm: Algorithm = request.param
    return replace(EMAIL, algorithm=algorithm)


@given(text=TEXTS, document_id=st.text(max_size=20))
def test_a_text_comes_back(text: str, document_id: str) -> None:
    for algorithm in Algorithm:
        of = cipher(replace(EMAIL, algorithm=algorithm))
        assert of.decrypt(document_id, of.encrypt(document_id, text)) == text


def test_the_same_text_is_never_written_alike(policy: FieldPolicy) -> None:
    of = cipher(policy)
    assert of.encrypt("usr_1", "ada@example.org") != of.encrypt("usr_1", "ada@example.org")


def test_a_value_that_was_moved_does_not_open(policy: FieldPolicy) -> None:
    ring = keyring()
    stored = cipher(policy, ring).encrypt("usr_1", "ada@example.org")
    assert fault(cipher(policy, ring), "usr_2", stored) is FieldFault.NOT_AUTHENTIC
    for elsewhere in (replace(policy, field="name"), replace(policy, collection="guests")):
        assert fault(cipher(elsewhere, ring), "usr_1", stored) is FieldFault.NOT_AUTHENTIC


@pytest.mark.parametrize("algorithm", Algorithm)
def test_every_bit_counts(algorithm: Algorithm) -> None:
    of = cipher(replace(EMAIL, algorithm=algorithm))
    stored = of.encrypt("usr_1", "ada")
    for place in range(len(stored) * 8):
        bent = bytearray(stored)
        bent[place // 8] ^= 1 << place % 8
        assert fault(of, "usr_1", bytes(bent)) in FieldFault
    assert fault(of, "usr_1", stored + b"\0") is FieldFault.NOT_AUTHENTIC


def test_every_truncation_is_a_fault(policy: FieldPolicy) -> None:
    of = cipher(policy)
    stored = of.encrypt("usr_1", "ada")
    for length in range(len(stored)):
        assert fault(of, "usr_1", stored[:length]) in (FieldFault.TRUNCATED, FieldFault.NOT_AUTHENTIC)


@given(stored=st.binary(max_size=200))
def test_rubbish_is_a_fault_and_nothing_else(stored: bytes) -> None:
    assert fault(cipher(), "usr_1", stored) in FieldFault


def test_a_key_that_is_not_in_the_ring_is_named() -> None:
    assert (
        fault(cipher(ring=keyring(NEW)), "usr_1", cipher().encrypt("usr_1", "ada")) is FieldFault.UNKNOWN_KEY
    )


def test_the_fault_says_nothing_of_the_value() -> None:
    of = cipher()
    with pytest.raises(UnreadableField) as raised:
        of.decrypt("usr_2", of.encrypt("usr_1", "ada@example.org"))
    assert str(raised.value) == (
        "users usr_2, `email`: it was changed, or belongs to another document, field or collection"
    )


def test_a_new_key_reads_at_once_and_writes_after_its_delay() -> None:
    clock = Clock()
    rotated: Ring = (RingKey(OLD), RingKey(NEW, clock.at_ms + WRITE_DELAY_MS))
    ring = FieldKeyring(rotated, index_root=INDEX, clock=clock)
    of = cipher(ring=ring)
    before = of.encrypt("usr_1", "ada")
    assert before[2:HEADER_BYTES] == key_id_of(OLD)
    assert of.decrypt("usr_1", cipher(ring=keyring(NEW)).encrypt("usr_1", "ada")) == "ada"
    assert of.is_current(before)
    clock.at_ms += WRITE_DELAY_MS
    after = of.encrypt("usr_1", "ada")
    assert after[2:HEADER_BYTES] == key_id_of(NEW)
    assert not of.is_current(before)
    assert of.is_current(after)
    assert of.decrypt("usr_1", before) == of.decrypt("usr_1", after) == "ada"


def test_an_unknown_key_has_the_ring_looked_at_once() -> None:
    looks: list[None] = []

    def look() -> Ring | None:
        looks.append(None)
        return (RingKey(OLD), RingKey(NEW, 10**15)) if len(looks) == 1 else None

    of = cipher(ring=FieldKeyring((RingKey(OLD),), index_root=INDEX, clock=Clock(), look=look))
    assert of.decrypt("usr_1", cipher(ring=keyring(NEW)).encrypt("usr_1", "ada")) == "ada"
    assert len(looks) == 1
    other = cipher(ring=keyring("a third root key, never in a ring")).encrypt("usr_1", "ada")
    assert fault(of, "usr_1", other) is FieldFault.UNKNOWN_KEY


def test_a_value_of_another_algorithm_is_read_and_is_not_current() -> None:
    ring = keyring()
    fernet = cipher(replace(EMAIL, algorithm=Algorithm.FERNET), ring)
    stored = fernet.encrypt("usr_1", "ada")
    assert cipher(EMAIL, ring).decrypt("usr_1", stored) == "ada"
    assert not cipher(EMAIL, ring).is_current(stored)


def test_an_index_tells_equal_texts_of_one_field_and_survives_a_rotation() -> None:
    of = cipher()
    assert of.blind_index("ada@example.org") == cipher(ring=keyring(OLD, NEW)).blind_index("ada@example.org")
    assert of.blind_index("ada@example.org") != of.blind_index("eve@example.org")
    assert of.blind_index("ada") != cipher(FieldPolicy("users", "username", indexed=True)).blind_index("ada")
    assert len(of.blind_index("")) == 16


def hkdf(root: str, info: str) -> bytes:
    """RFC 5869 with SHA-256, no salt, one block; by the standard library alone."""
    extracted = hmac.digest(bytes(32), root.encode(), "sha256")
    return hmac.digest(extracted, info.encode() + b"\1", "sha256")


def test_another_program_opens_it_by_the_description_alone() -> None:
    stored = cipher().encrypt("usr_1", "ada@example.org")
    key_id = hkdf(OLD, "credit-system/field-encryption/key-id")[:8]
    assert stored[:HEADER_BYTES] == b"\1\1" + key_id
    key = hkdf(OLD, "credit-system/field-encryption/aes_256_gcm/5:users/5:email")
    end = HEADER_BYTES + NONCE_BYTES
    context = additional_data(stored[:HEADER_BYTES], FieldPlace("users", "email", "usr_1"))
    assert AESGCM(key).decrypt(stored[HEADER_BYTES:end], stored[end:], context) == b"ada@example.org"

    stored = cipher(replace(EMAIL, algorithm=Algorithm.FERNET)).encrypt("usr_1", "ada@example.org")
    key = base64.urlsafe_b64encode(hkdf(OLD, "credit-system/field-encryption/fernet/5:users/5:email"))
    context = additional_data(stored[:HEADER_BYTES], FieldPlace("users", "email", "usr_1"))
    token = base64.urlsafe_b64encode(stored[HEADER_BYTES:])
    assert Fernet(key).decrypt(token) == hashlib.sha256(context).digest()[:16] + b"ada@example.org"

    index = hkdf(INDEX, "credit-system/field-encryption/blind-index/5:users/5:email")
    assert cipher().blind_index("ada") == hmac.digest(index, b"ada", "sha256")[:16]
