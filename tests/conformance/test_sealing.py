"""What sealing promises: only the same purpose and context open, in every process of the service."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.crypto.sealing import KEYS_CACHED_MAX, AesGcmSealer
from adapters.runtime.system import SystemEntropy

ROOT = b"r" * 32


def a_sealer(*, root_key: bytes = ROOT, purpose: str = "bus") -> AesGcmSealer:
    return AesGcmSealer(root_key=root_key, purpose=purpose, entropy=SystemEntropy())


ONE, OTHER = a_sealer(), a_sealer()


@given(st.binary(max_size=200), st.binary(max_size=40))
def test_each_process_opens_what_another_sealed(plaintext: bytes, context: bytes) -> None:
    sealed = ONE.seal(plaintext, context)
    assert ONE.open(sealed, context) == plaintext
    assert OTHER.open(sealed, context) == plaintext


@given(st.data())
def test_nothing_that_was_changed_opens(data: st.DataObject) -> None:
    sealed = ONE.seal(b"twelve credits", b"topic")
    at = data.draw(st.integers(0, len(sealed) - 1))
    flipped = sealed[at] ^ data.draw(st.integers(1, 255))
    assert OTHER.open(sealed[:at] + bytes([flipped]) + sealed[at + 1 :], b"topic") is None
    assert OTHER.open(sealed[:at], b"topic") is None
    assert OTHER.open(sealed + b"\0", b"topic") is None


def test_another_context_purpose_or_root_does_not_open() -> None:
    sealed = ONE.seal(b"twelve credits", b"topic")
    assert OTHER.open(sealed, b"another topic") is None
    assert a_sealer(purpose="cache").open(sealed, b"topic") is None
    assert a_sealer(root_key=b"x" * 32).open(sealed, b"topic") is None


def test_the_same_message_never_looks_the_same_nor_shows_itself() -> None:
    one, other = ONE.seal(b"twelve credits", b"topic"), ONE.seal(b"twelve credits", b"topic")
    assert one != other
    assert b"twelve" not in one
    assert b"topic" not in one


@given(st.binary(max_size=100))
def test_what_is_no_message_does_not_open(data: bytes) -> None:
    assert ONE.open(data, b"topic") is None


def test_keys_of_many_processes_are_kept_in_bounds() -> None:
    reader = a_sealer()
    sealers = [a_sealer() for _ in range(KEYS_CACHED_MAX + 5)]
    for _ in range(2):
        assert all(reader.open(sealer.seal(b"x", b""), b"") == b"x" for sealer in sealers)
        assert len(reader._others) == KEYS_CACHED_MAX


def test_a_short_root_key_is_an_error() -> None:
    with pytest.raises(ValueError):
        a_sealer(root_key=b"r" * 31)
