"""How wrong passwords delay a name: not at first, then ever longer, never for good."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.identity.login_delay import NO_FAILURES, DelayPolicy, Failures, after_failure, delay_ms

POLICY = DelayPolicy(free_failures=3, base_ms=1_000, max_ms=8_000, forget_ms=60_000)
NOW_MS = 1_800_000_000_000


def test_the_first_failures_are_free_and_each_further_one_doubles_up_to_the_most() -> None:
    failures, delays = NO_FAILURES, []
    for _ in range(9):
        failures = after_failure(POLICY, failures, NOW_MS)
        delays.append(delay_ms(POLICY, failures, NOW_MS))
    assert delays == [0, 0, 1_000, 2_000, 4_000, 8_000, 8_000, 8_000, 8_000]


def test_a_delay_runs_from_the_last_failure_and_ends() -> None:
    failures = Failures(4, NOW_MS)
    assert delay_ms(POLICY, failures, NOW_MS + 1) == 1_999
    assert delay_ms(POLICY, failures, NOW_MS + 1_999) == 1
    assert delay_ms(POLICY, failures, NOW_MS + 2_000) == 0


def test_who_comes_back_too_late_begins_anew() -> None:
    failures = Failures(9, NOW_MS)
    assert after_failure(POLICY, failures, NOW_MS + 59_999).count == 10
    assert after_failure(POLICY, failures, NOW_MS + 60_000) == Failures(1, NOW_MS + 60_000)


def test_nobody_waits_without_failures() -> None:
    assert delay_ms(POLICY, NO_FAILURES, NOW_MS) == 0
    assert delay_ms(POLICY, NO_FAILURES, 0) == 0


@given(st.lists(st.integers(0, 200_000), max_size=60), st.integers(-100_000, 200_000))
def test_a_delay_is_never_longer_than_the_most_whatever_the_clocks_do(steps: list[int], at: int) -> None:
    failures = NO_FAILURES
    for step in steps:
        failures = after_failure(POLICY, failures, NOW_MS + step)
    assert 0 <= delay_ms(POLICY, failures, NOW_MS + at) <= POLICY.max_ms


def test_even_a_million_failures_cost_no_long_shift() -> None:
    assert delay_ms(POLICY, Failures(10**6, NOW_MS), NOW_MS) == 8_000


@pytest.mark.parametrize(
    "wrong", [{"free_failures": 0}, {"base_ms": 0}, {"max_ms": 999}, {"forget_ms": 7_999}]
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, int]) -> None:
    sound = {"free_failures": 3, "base_ms": 1_000, "max_ms": 8_000, "forget_ms": 60_000}
    with pytest.raises(ValueError, match="delay"):
        DelayPolicy(**{**sound, **wrong})
