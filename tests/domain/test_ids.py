"""Ids sort by time and fit everywhere an id may stand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ids import RANDOMNESS_BYTES, base32, is_id, is_time_ordered_id, time_ordered_id

MOMENTS = st.integers(min_value=0, max_value=2**48 - 1)
RANDOMNESS = st.binary(min_size=RANDOMNESS_BYTES, max_size=RANDOMNESS_BYTES)


@given(MOMENTS, RANDOMNESS, MOMENTS, RANDOMNESS)
def test_ids_sort_as_their_times_do(one_ms: int, one: bytes, other_ms: int, other: bytes) -> None:
    first, second = time_ordered_id("usr", one_ms, one), time_ordered_id("usr", other_ms, other)
    assert (first < second) == ((one_ms, one) < (other_ms, other))


@given(MOMENTS, RANDOMNESS)
def test_an_id_is_one_and_has_26_digits(now_ms: int, randomness: bytes) -> None:
    made = time_ordered_id("usr", now_ms, randomness)
    assert is_id(made)
    assert made.startswith("usr_")
    assert len(made) == len("usr_") + 26
    assert is_time_ordered_id("usr", made)
    assert not is_time_ordered_id("us", made)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_base32_tells_all_data_of_one_length_apart(one: bytes, other: bytes) -> None:
    same_length = len(one) == len(other)
    assert (base32(one) == base32(other)) == (one == other) or not same_length


@pytest.mark.parametrize("now_ms", [-1, 2**48])
def test_a_time_outside_48_bits_is_an_error(now_ms: int) -> None:
    with pytest.raises(ValueError):
        time_ordered_id("usr", now_ms, bytes(RANDOMNESS_BYTES))


@pytest.mark.parametrize("size", [0, RANDOMNESS_BYTES - 1, RANDOMNESS_BYTES + 1])
def test_randomness_of_another_size_is_an_error(size: int) -> None:
    with pytest.raises(ValueError):
        time_ordered_id("usr", 0, bytes(size))


@pytest.mark.parametrize(
    "text",
    ["", "usr", "usr_", "usr_" + "0" * 25, "usr_" + "0" * 27, "usr_8" + "0" * 25, "usr_" + "u" * 26,
     "usr_" + "0" * 26 + "\n", "ses_" + "0" * 26, "USR_" + "0" * 26, "0" * 26],
)  # fmt: skip
def test_what_was_not_made_here_is_told_from_what_was(text: str) -> None:
    assert not is_time_ordered_id("usr", text)


@pytest.mark.parametrize("text", ["a", "A.b:c_d-9", "x" * 64])
def test_these_are_ids(text: str) -> None:
    assert is_id(text)


@pytest.mark.parametrize("text", ["", "x" * 65, "a b", "a/b", "@revenue", "ä", "a\n", "a\0", "٣"])
def test_these_are_not_ids(text: str) -> None:
    assert not is_id(text)
