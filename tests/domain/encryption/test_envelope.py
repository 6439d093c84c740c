"""An envelope is read whatever bytes it is, and no two places share what is authenticated along."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.encryption.envelope import (
    HEADER_BYTES,
    KEY_ID_BYTES,
    VERSION,
    Envelope,
    FieldFault,
    FieldPlace,
    additional_data,
    header,
    parse_envelope,
)
from domain.encryption.policies import EncryptionAlgorithm

KEY_ID = bytes(range(KEY_ID_BYTES))
PLACES = st.builds(FieldPlace, st.text(max_size=8), st.text(max_size=8), st.text(max_size=8))


@given(
    algorithm=st.sampled_from(EncryptionAlgorithm),
    key_id=st.binary(min_size=8, max_size=8),
    rest=st.binary(min_size=73),
)
def test_what_was_put_together_comes_apart(
    algorithm: EncryptionAlgorithm, key_id: bytes, rest: bytes
) -> None:
    assert parse_envelope(header(algorithm, key_id) + rest) == Envelope(algorithm, key_id, rest)


@given(stored=st.binary(max_size=120))
def test_any_bytes_are_an_envelope_or_a_named_fault(stored: bytes) -> None:
    parsed = parse_envelope(stored)
    assert isinstance(parsed, FieldFault) or header(parsed.algorithm, parsed.key_id) + parsed.sealed == stored


@pytest.mark.parametrize(
    ("stored", "fault"),
    [
        (b"", FieldFault.TRUNCATED),
        (bytes(HEADER_BYTES - 1), FieldFault.TRUNCATED),
        (bytes((VERSION + 1, 1)) + bytes(80), FieldFault.UNKNOWN_VERSION),
        (bytes((VERSION, 9)) + bytes(80), FieldFault.UNKNOWN_ALGORITHM),
        (header(EncryptionAlgorithm.AES_256_GCM, KEY_ID) + bytes(27), FieldFault.TRUNCATED),
        (header(EncryptionAlgorithm.FERNET, KEY_ID) + bytes(72), FieldFault.TRUNCATED),
    ],
)
def test_a_fault_is_named(stored: bytes, fault: FieldFault) -> None:
    assert parse_envelope(stored) is fault


@given(one=PLACES, other=PLACES)
def test_two_places_never_share_their_additional_data(one: FieldPlace, other: FieldPlace) -> None:
    assert (additional_data(b"", one) == additional_data(b"", other)) == (one == other)


def test_parts_do_not_run_into_each_other() -> None:
    assert additional_data(b"", FieldPlace("ab", "c", "")) != additional_data(b"", FieldPlace("a", "bc", ""))
