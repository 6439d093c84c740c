"""The windows' rules, against oracles that remember every request instead of a few numbers."""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.limits.windows import (
    LIMIT_PERIOD_MAX,
    UNUSED,
    Algorithm,
    Policy,
    WindowState,
    parse_policy_rate,
    peek,
    take,
)

algorithms = st.sampled_from(Algorithm)
small_policies = st.builds(
    Policy,
    name=st.just("p"),
    limit=st.integers(1, 12),
    period_ms=st.integers(1, 60),
    algorithm=algorithms,
)
steps = st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12)), max_size=60)
origins = st.integers(0, 2**41)


def run(
    policy: Policy, origin_ms: int, script: list[tuple[int, int]]
) -> tuple[WindowState, int, list[tuple[int, int]]]:
    """Plays (wait, cost) steps; the last state and moment, and what was admitted as (moment, cost)."""
    state, now_ms, admitted = UNUSED, origin_ms, []
    for wait_ms, wished in script:
        now_ms += wait_ms
        cost = min(wished, policy.limit)
        decision, state = take(policy, state, now_ms, cost)
        if decision.allowed:
            admitted.append((now_ms, cost))
    return state, now_ms, admitted


def oracle_allows(policy: Policy, admitted: list[tuple[int, int]], now_ms: int, cost: int) -> bool:
    """The algorithms' textbook definitions over the whole history, in exact fractions."""
    period_ms, limit = policy.period_ms, policy.limit
    start_ms = now_ms // period_ms * period_ms
    current = sum(c for at, c in admitted if at >= start_ms)
    if policy.algorithm is Algorithm.FIXED_WINDOW:
        return current + cost <= limit
    if policy.algorithm is Algorithm.SLIDING_WINDOW:
        before = sum(c for at, c in admitted if start_ms - period_ms <= at < start_ms)
        covered = Fraction(period_ms - (now_ms - start_ms), period_ms)
        return before * covered + current + cost <= limit
    interval = Fraction(period_ms, limit)
    arrival = Fraction(0)
    for at, c in admitted:
        arrival = max(arrival, Fraction(at)) + c * interval
    return max(arrival, Fraction(now_ms)) + cost * interval <= now_ms + period_ms


@given(small_policies, origins, steps)
def test_each_algorithm_decides_as_its_textbook_definition_over_the_whole_history(
    policy: Policy, origin_ms: int, script: list[tuple[int, int]]
) -> None:
    state, now_ms = UNUSED, origin_ms
    admitted: list[tuple[int, int]] = []
    for wait_ms, wished in script:
        now_ms += wait_ms
        cost = min(wished, policy.limit)
        decision, state = take(policy, state, now_ms, cost)
        assert decision.allowed == oracle_allows(policy, admitted, now_ms, cost)
        if decision.allowed:
            admitted.append((now_ms, cost))
        fits = [n for n in range(1, policy.limit + 1) if oracle_allows(policy, admitted, now_ms, n)]
        assert decision.remaining == max(fits, default=0)


@given(small_policies, origins, steps)
def test_no_window_ever_admits_more_than_its_algorithm_promises(
    policy: Policy, origin_ms: int, script: list[tuple[int, int]]
) -> None:
    _, _, admitted = run(policy, origin_ms, script)
    totals = list(accumulate((cost for _, cost in admitted), initial=0))
    aligned: dict[int, int] = {}
    for at, cost in admitted:
        aligned[at // policy.period_ms] = aligned.get(at // policy.period_ms, 0) + cost
    if policy.algorithm is not Algorithm.GCRA:
        assert all(total <= policy.limit for total in aligned.values())
    for first in range(len(admitted)):
        for last in range(first, len(admitted)):
            stretch_ms = admitted[last][0] - admitted[first][0]
            total = totals[last + 1] - totals[first]
            if stretch_ms < policy.period_ms:
                one_less = policy.algorithm is not Algorithm.FIXED_WINDOW
                assert total <= 2 * policy.limit - one_less
            if policy.algorithm is Algorithm.GCRA:
                drained = policy.limit * stretch_ms // policy.period_ms
                assert total <= policy.limit + drained


@given(small_policies, origins, steps, st.integers(1, 12), st.integers(-80, 200))
def test_retry_after_is_exactly_the_first_moment_at_which_the_request_passes(
    policy: Policy, origin_ms: int, script: list[tuple[int, int]], cost: int, later_ms: int
) -> None:
    state, now_ms, _ = run(policy, origin_ms, script)
    cost = min(cost, policy.limit)
    now_ms = max(0, now_ms + later_ms)
    decision, _ = take(policy, state, now_ms, cost)
    passing = [
        wait_ms
        for wait_ms in range(2 * policy.period_ms + 200)
        if take(policy, state, now_ms + wait_ms, cost)[0].allowed
    ]
    assert decision.retry_after_ms == passing[0]
    assert decision.allowed == (passing[0] == 0)


@given(small_policies, origins, steps, st.integers(1, 12), st.integers(-80, 200))
def test_waiting_never_makes_a_decision_worse(
    policy: Policy, origin_ms: int, script: list[tuple[int, int]], cost: int, later_ms: int
) -> None:
    state, now_ms, _ = run(policy, origin_ms, script)
    cost = min(cost, policy.limit)
    now_ms = max(0, now_ms + later_ms)
    answers = [
        take(policy, state, now_ms + wait_ms, cost)[0] for wait_ms in range(2 * policy.period_ms + 100)
    ]
    for sooner, later in pairwise(answers):
        assert later.allowed >= sooner.allowed
        assert look_left(later.allowed, later.remaining, cost) >= look_left(
            sooner.allowed, sooner.remaining, cost
        )


def look_left(allowed: bool, remaining: int, cost: int) -> int:
    """What was free before this request."""
    return remaining + (cost if allowed else 0)


@given(small_policies, origins, steps, st.integers(1, 12))
def test_a_refused_request_changes_no_state(
    policy: Policy, origin_ms: int, script: list[tuple[int, int]], cost: int
) -> None:
    state, now_ms, _ = run(policy, origin_ms, script)
    decision, after = take(policy, state, now_ms, min(cost, policy.limit))
    assert (after == state) == (not decision.allowed)


@given(small_policies, origins, steps)
def test_a_window_is_whole_again_exactly_when_it_says(
    policy: Policy, origin_ms: int, script: list[tuple[int, int]]
) -> None:
    state, now_ms, _ = run(policy, origin_ms, script)
    reset_ms = peek(policy, state, now_ms).reset_ms
    later = peek(policy, state, now_ms + reset_ms)
    assert (later.remaining, later.reset_ms) == (policy.limit, 0)
    if reset_ms:
        assert peek(policy, state, now_ms + reset_ms - 1).reset_ms == 1


@given(
    st.integers(1, 2**25),
    st.integers(1, 2**25),
    algorithms,
    st.lists(st.integers(0, 2**24), min_size=1, max_size=20),
)
def test_every_number_stays_exact_in_a_double(
    limit: int, period_ms: int, algorithm: Algorithm, waits: list[int]
) -> None:
    policy = Policy("p", limit, period_ms, algorithm)
    state, now_ms = UNUSED, 2**41
    for wait_ms in waits:
        now_ms += wait_ms
        cost = max(1, policy.limit // 3)
        decision, state = take(policy, state, now_ms, cost)
        for number in (state.since_ms, state.used, state.before, decision.reset_ms):
            assert 0 <= number < 2**53
        if algorithm is Algorithm.GCRA:
            assert state.used + cost * period_ms < 2**52
        else:
            assert (state.before + state.used + cost) * period_ms < 2**52


def test_a_lowered_limit_is_kept_to_within_one_period() -> None:
    for algorithm in Algorithm:
        generous = Policy("p", 1_000, 100, algorithm)
        _, state = take(generous, UNUSED, 1_000, 1_000)
        strict = Policy("p", 10, 100, algorithm)
        decision, _ = take(strict, state, 1_001, 1)
        assert not decision.allowed
        assert decision.remaining == 0
        assert 0 < decision.retry_after_ms <= 200
        assert take(strict, state, 1_001 + decision.retry_after_ms, 1)[0].allowed


def test_a_rate_is_written_as_limit_and_period() -> None:
    assert parse_policy_rate("100/60s") == (100, 60_000)
    assert parse_policy_rate("1000/1h") == (1_000, 3_600_000)
    assert parse_policy_rate(" 10/1m ") == (10, 60_000)
    assert parse_policy_rate("5/250ms") == (5, 250)
    assert parse_policy_rate("1/1d") == (1, 86_400_000)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "100",
        "100/",
        "/60s",
        "0/60s",
        "1/0s",
        "-1/60s",
        "1.5/60s",
        "1/60",
        "1/60w",
        "1/1s\n1",
        "\u0661/1s",
        "9999999999/365d",
    ],
)
def test_a_rate_that_cannot_be_kept_is_refused_with_its_text(text: str) -> None:
    with pytest.raises(ValueError, match="rate"):
        parse_policy_rate(text)


@pytest.mark.parametrize("name", ["", "Login", "a b", "a:b", "x" * 65])
def test_a_policy_name_that_could_break_a_key_or_header_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="policy name"):
        Policy(name, 1, 1)


@pytest.mark.parametrize(("limit", "period_ms"), [(0, 1), (LIMIT_PERIOD_MAX, 2)])
def test_a_policy_that_no_algorithm_can_keep_is_refused(limit: int, period_ms: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        Policy("p", limit, period_ms)


def test_a_policy_without_a_period_is_refused() -> None:
    with pytest.raises(ValueError, match="period"):
        Policy("p", 1, 0)


@pytest.mark.parametrize("cost", [0, -1, 4])
def test_a_cost_that_could_never_pass_is_refused(cost: int) -> None:
    with pytest.raises(ValueError, match="cost"):
        take(Policy("p", 3, 1_000), UNUSED, 0, cost)
