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

from adapters.crypto.derivation import root_key
from adapters.crypto.field_cipher import FieldKeyring, RingFieldCipher, key_id_of
from adapters.runtime.system import SystemEntropy
from domain.encryption.envelope import (
    FERNET_BYTES_MIN,
    HEADER_BYTES,
    NONCE_BYTES,
    TAG_BYTES,
    FieldFault,
    FieldPlace,
    additional_data,
)
from domain.encryption.keyring import WRITE_DELAY_MS, EncryptionRing, Ring, RingKey
from domain.encryption.policies import EncryptionAlgorithm, FieldPolicy
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
    return FieldKeyring(EncryptionRing(INDEX, ring), clock=clock or Clock())


def cipher(policy: FieldPolicy = EMAIL, ring: FieldKeyring | None = None) -> RingFieldCipher:
    return RingFieldCipher(policy, ring or keyring(), clock=Clock(), entropy=SystemEntropy())


def fault(of: RingFieldCipher, document_id: str, stored: bytes) -> FieldFault:
    with pytest.raises(UnreadableField) as raised:
        of.decrypt(document_id, stored)
    assert raised.value.place == FieldPlace(of.policy.collection, of.policy.field, document_id)
    return raised.value.fault


@pytest.fixture(params=EncryptionAlgorithm)
def policy(request: pytest.FixtureRequest) -> FieldPolicy:
    algorithm: EncryptionAlgorithm = request.param
    return replace(EMAIL, algorithm=algorithm)


@given(text=TEXTS, document_id=st.text(max_size=20))
def test_a_text_comes_back(text: str, document_id: str) -> None:
    for algorithm in EncryptionAlgorithm:
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


@st.composite
def sealed(draw: st.DrawFn) -> tuple[RingFieldCipher, str, bytes]:
    """A cipher, a document's id, and what the cipher wrote for it."""
    of = cipher(replace(EMAIL, algorithm=draw(st.sampled_from(EncryptionAlgorithm))))
    document_id = draw(st.text(max_size=8))
    return of, document_id, of.encrypt(document_id, draw(TEXTS))


@given(drawn=sealed(), place=st.integers(0), bit=st.integers(0, 7))
def test_a_flipped_bit_is_the_fault_of_the_part_that_it_is_in(
    drawn: tuple[RingFieldCipher, str, bytes], place: int, bit: int
) -> None:
    of, document_id, stored = drawn
    bent = bytearray(stored)
    place %= len(stored)
    bent[place] ^= 1 << bit
    found = fault(of, document_id, bytes(bent))
    if place == 0:
        assert found is FieldFault.UNKNOWN_VERSION
    elif place == 1:
        # 1 and 2 are two bits apart: no flip of one leads to the other.
        assert found is FieldFault.UNKNOWN_ALGORITHM
    elif place < HEADER_BYTES:
        assert found is FieldFault.UNKNOWN_KEY
    else:
        assert found is FieldFault.NOT_AUTHENTIC


@given(drawn=sealed(), cut=st.integers(0))
def test_a_truncated_value_is_a_fault(drawn: tuple[RingFieldCipher, str, bytes], cut: int) -> None:
    of, document_id, stored = drawn
    length = cut % len(stored)
    least = HEADER_BYTES + (
        NONCE_BYTES + TAG_BYTES
        if of.policy.algorithm is EncryptionAlgorithm.AES_256_GCM
        else FERNET_BYTES_MIN
    )
    expected = FieldFault.TRUNCATED if length < least else FieldFault.NOT_AUTHENTIC
    assert fault(of, document_id, stored[:length]) is expected


@given(drawn=sealed(), more=st.binary(min_size=1, max_size=40))
def test_a_value_that_was_added_to_is_not_authentic(
    drawn: tuple[RingFieldCipher, str, bytes], more: bytes
) -> None:
    of, document_id, stored = drawn
    assert fault(of, document_id, stored + more) is FieldFault.NOT_AUTHENTIC


@given(drawn=sealed(), place=st.builds(FieldPlace, *[st.text(min_size=1, max_size=8)] * 3))
def test_a_value_opens_at_its_own_place_alone(
    drawn: tuple[RingFieldCipher, str, bytes], place: FieldPlace
) -> None:
    of, document_id, stored = drawn
    elsewhere = cipher(replace(of.policy, collection=place.collection, field=place.field))
    if place == FieldPlace(of.policy.collection, of.policy.field, document_id):
        return
    assert fault(elsewhere, place.document_id, stored) is FieldFault.NOT_AUTHENTIC


@given(
    drawn=sealed(),
    version=st.integers(2, 255),
    number=st.integers(3, 255),
    key_id=st.binary(min_size=8, max_size=8),
)
def test_another_version_algorithm_or_key_is_named(
    drawn: tuple[RingFieldCipher, str, bytes], version: int, number: int, key_id: bytes
) -> None:
    of, document_id, stored = drawn
    assert fault(of, document_id, bytes((version,)) + stored[1:]) is FieldFault.UNKNOWN_VERSION
    another = stored[:1] + bytes((number,)) + stored[2:]
    assert fault(of, document_id, another) is FieldFault.UNKNOWN_ALGORITHM
    if key_id != stored[2:HEADER_BYTES]:
        another = stored[:2] + key_id + stored[HEADER_BYTES:]
        assert fault(of, document_id, another) is FieldFault.UNKNOWN_KEY


@pytest.mark.parametrize("warm", [False, True])
def test_a_fault_is_the_same_whether_its_key_was_used_before_or_not(warm: bool) -> None:
    ring, fernet = keyring(), replace(EMAIL, algorithm=EncryptionAlgorithm.FERNET)
    stored = cipher(fernet, ring).encrypt("usr_1", "ada")
    of = cipher(fernet, ring)
    if warm:
        of.decrypt("usr_1", stored)
    assert fault(of, "usr_1", stored[: HEADER_BYTES + FERNET_BYTES_MIN - 1]) is FieldFault.TRUNCATED


def test_a_key_that_left_the_ring_reads_no_more() -> None:
    ring = keyring(OLD, NEW)
    of = cipher(ring=ring)
    stored = cipher(ring=keyring(OLD)).encrypt("usr_1", "ada")
    assert of.decrypt("usr_1", stored) == "ada"
    left: Ring = (RingKey(NEW),)
    ring.take(left, ring.roots_of(left))
    assert fault(of, "usr_1", stored) is FieldFault.UNKNOWN_KEY


def test_a_passphrase_is_stretched_once_and_writes_as_any_key(monkeypatch: pytest.MonkeyPatch) -> None:
    stretched: list[RingKey] = []

    def counted(key: RingKey) -> bytes:
        stretched.append(key)
        return root_key(key)

    monkeypatch.setattr("adapters.crypto.field_cipher.root_key", counted)
    phrase = RingKey("seven words of a passphrase", 0, "a salt of 16 or more")
    ring = FieldKeyring(EncryptionRing(INDEX, (phrase,)), clock=Clock())
    of = cipher(ring=ring)
    assert of.decrypt("usr_1", of.encrypt("usr_1", "ada")) == "ada"
    longer: Ring = (replace(phrase, writes_from_ms=0), RingKey(NEW, 10**15))
    ring.take(longer, ring.roots_of(longer))
    assert of.decrypt("usr_1", of.encrypt("usr_1", "ada")) == "ada"
    assert stretched == [phrase, longer[1]]


def test_what_is_not_indexed_has_no_index() -> None:
    with pytest.raises(ValueError, match="no blind index"):
        cipher(replace(EMAIL, indexed=False)).blind_index("ada")


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
    ring = FieldKeyring(EncryptionRing(INDEX, rotated), clock=clock)
    of = cipher(ring=ring)
    before = of.encrypt("usr_1", "ada")
    assert before[2:HEADER_BYTES] == key_id_of(OLD.encode())
    assert of.decrypt("usr_1", cipher(ring=keyring(NEW)).encrypt("usr_1", "ada")) == "ada"
    assert of.is_current(before)
    clock.at_ms += WRITE_DELAY_MS
    after = of.encrypt("usr_1", "ada")
    assert after[2:HEADER_BYTES] == key_id_of(NEW.encode())
    assert not of.is_current(before)
    assert of.is_current(after)
    assert of.decrypt("usr_1", before) == of.decrypt("usr_1", after) == "ada"


def test_an_unknown_key_has_the_ring_looked_at_once() -> None:
    looks: list[None] = []

    def look() -> Ring | None:
        looks.append(None)
        return (RingKey(OLD), RingKey(NEW, 10**15)) if len(looks) == 1 else None

    of = cipher(ring=FieldKeyring(EncryptionRing(INDEX, (RingKey(OLD),)), clock=Clock(), look=look))
    assert of.decrypt("usr_1", cipher(ring=keyring(NEW)).encrypt("usr_1", "ada")) == "ada"
    assert len(looks) == 1
    other = cipher(ring=keyring("a third root key, never in a ring")).encrypt("usr_1", "ada")
    assert fault(of, "usr_1", other) is FieldFault.UNKNOWN_KEY


def test_a_value_of_another_algorithm_is_read_and_is_not_current() -> None:
    ring = keyring()
    fernet = cipher(replace(EMAIL, algorithm=EncryptionAlgorithm.FERNET), ring)
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

    stored = cipher(replace(EMAIL, algorithm=EncryptionAlgorithm.FERNET)).encrypt("usr_1", "ada@example.org")
    key = base64.urlsafe_b64encode(hkdf(OLD, "credit-system/field-encryption/fernet/5:users/5:email"))
    context = additional_data(stored[:HEADER_BYTES], FieldPlace("users", "email", "usr_1"))
    token = base64.urlsafe_b64encode(stored[HEADER_BYTES:])
    assert Fernet(key).decrypt(token) == hashlib.sha256(context).digest()[:16] + b"ada@example.org"

    index = hkdf(INDEX, "credit-system/field-encryption/blind-index/5:users/5:email")
    assert cipher().blind_index("ada") == hmac.digest(index, b"ada", "sha256")[:16]
