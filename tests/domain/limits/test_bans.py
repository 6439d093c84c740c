"""From violations to bans, against an oracle that walks through time half-life by half-life."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.limits.bans import (
    DURATION_MS_MAX,
    JITTER_MAX,
    LEVEL_MAX,
    NO_OFFENCES,
    BanPolicy,
    OffenceRecord,
    ban_duration_ms,
    forget_violations,
    impose,
    is_banned,
    jitter_ppm,
    level_at,
    lift,
    offences_expire_at_ms,
    violate,
    violations_at,
)

HOUR_MS = 3_600_000

policies = st.builds(
    lambda threshold, base, factor, half_life, ttl: BanPolicy(threshold, base, base * factor, half_life, ttl),
    st.integers(0, 6),
    st.integers(1, 100),
    st.integers(1, 50),
    st.integers(1, 400),
    st.integers(1, 300),
)
jitters = st.floats(0.0, JITTER_MAX)
scripts = st.lists(st.tuples(st.integers(0, 400), jitters), max_size=60)


class Oracle:
    """Bans by the words of the rule: one step of decay at a time."""

    def __init__(self, policy: BanPolicy) -> None:
        self.policy = policy
        self.violations: list[int] = []
        self.level = 0
        self.until_ms = 0
        self.next_decay_ms = 0

    def advance(self, now_ms: int) -> None:
        while self.level and now_ms >= self.next_decay_ms:
            self.level -= 1
            self.next_decay_ms += self.policy.half_life_ms
        if self.violations and now_ms - self.violations[-1] >= self.policy.violations_ttl_ms:
            self.violations = []

    def violate(self, now_ms: int, jitter: float) -> None:
        self.violations.append(now_ms)
        if len(self.violations) <= self.policy.threshold:
            return
        self.violations = []
        self.level += 1
        duration_ms = self.policy.base_ms
        for _ in range(self.level - 1):
            duration_ms *= 2
        duration_ms = min(self.policy.max_ms, duration_ms)
        duration_ms = min(self.policy.max_ms, duration_ms + duration_ms * jitter_ppm(jitter) // 1_000_000)
        self.until_ms = now_ms + duration_ms
        self.next_decay_ms = self.until_ms + self.policy.half_life_ms


@given(policies, scripts)
def test_violations_and_bans_follow_the_rule_step_by_step(
    policy: BanPolicy, script: list[tuple[int, float]]
) -> None:
    offences, oracle, now_ms = NO_OFFENCES, Oracle(policy), 1_000
    for wait_ms, jitter in script:
        now_ms += wait_ms
        oracle.advance(now_ms)
        assert violations_at(policy, offences, now_ms) == len(oracle.violations)
        assert level_at(policy, offences, now_ms) == oracle.level
        assert is_banned(offences, now_ms) == (now_ms < oracle.until_ms)
        if is_banned(offences, now_ms):
            continue
        offences = violate(policy, offences, now_ms, jitter)
        oracle.violate(now_ms, jitter)
        assert offences.banned_until_ms == oracle.until_ms


def test_violations_up_to_the_threshold_do_not_ban_and_the_next_one_does() -> None:
    policy = BanPolicy(threshold=5)
    offences = NO_OFFENCES
    for count in range(1, 6):
        offences = violate(policy, offences, count, 0.0)
        assert not is_banned(offences, count)
        assert violations_at(policy, offences, count) == count
    offences = violate(policy, offences, 6, 0.0)
    assert offences == OffenceRecord(violations=0, violated_ms=0, level=1, banned_until_ms=60_006)


def test_violations_are_forgotten_after_an_hour_without_one() -> None:
    policy = BanPolicy(threshold=1)
    offences = violate(policy, NO_OFFENCES, 0, 0.0)
    assert violations_at(policy, offences, HOUR_MS - 1) == 1
    assert violations_at(policy, offences, HOUR_MS) == 0
    assert not is_banned(violate(policy, offences, HOUR_MS, 0.0), HOUR_MS)
    assert is_banned(violate(policy, offences, HOUR_MS - 1, 0.0), HOUR_MS - 1)


@given(policies, st.integers(1, LEVEL_MAX), jitters)
def test_a_ban_is_never_above_the_cap_nor_under_what_its_level_gives(
    policy: BanPolicy, level: int, jitter: float
) -> None:
    duration_ms = ban_duration_ms(policy, level, jitter_ppm(jitter))
    plain_ms = min(policy.max_ms, policy.base_ms * 2 ** (level - 1))
    assert plain_ms <= duration_ms <= policy.max_ms
    assert duration_ms <= plain_ms * 1.1


@given(policies, st.lists(st.tuples(st.integers(0, 1), jitters), min_size=2, max_size=80))
def test_a_ban_within_a_half_life_of_the_last_ones_end_is_longer_or_at_the_cap(
    policy: BanPolicy, script: list[tuple[int, float]]
) -> None:
    offences, now_ms, durations = NO_OFFENCES, 0, []
    for late, jitter in script:
        offences = impose(policy, offences, now_ms, jitter=jitter)
        durations.append(offences.banned_until_ms - now_ms)
        now_ms = offences.banned_until_ms + late * (policy.half_life_ms - 1)
    for earlier_ms, later_ms in pairwise(durations):
        assert later_ms > earlier_ms or later_ms == policy.max_ms


@given(policies, st.integers(1, 90))
def test_without_bans_the_level_falls_to_none(policy: BanPolicy, bans: int) -> None:
    offences = NO_OFFENCES
    for _ in range(bans):
        offences = impose(policy, offences, 0, jitter=0.0)
    level = min(bans, LEVEL_MAX)
    end_ms = offences.banned_until_ms
    for fallen in range(level + 1):
        moment_ms = end_ms + fallen * policy.half_life_ms
        assert level_at(policy, offences, moment_ms) == level - fallen
        if fallen:
            assert level_at(policy, offences, moment_ms - 1) == level - fallen + 1
    assert level_at(policy, offences, end_ms + 10**12) == 0


@given(policies, scripts, st.integers(0, 1_000))
def test_conduct_means_nothing_exactly_from_the_moment_it_says(
    policy: BanPolicy, script: list[tuple[int, float]], later_ms: int
) -> None:
    offences, now_ms = NO_OFFENCES, 1_000
    for wait_ms, jitter in script:
        now_ms += wait_ms
        if not is_banned(offences, now_ms):
            offences = violate(policy, offences, now_ms, jitter)

    def remembered(moment_ms: int) -> tuple[int, int, bool]:
        return (
            violations_at(policy, offences, moment_ms),
            level_at(policy, offences, moment_ms),
            is_banned(offences, moment_ms),
        )

    moment_ms = offences_expire_at_ms(policy, offences)
    assert remembered(moment_ms + later_ms) == (0, 0, False)
    if moment_ms:
        assert remembered(moment_ms - 1) != (0, 0, False)


def test_a_lifted_ban_ends_now_and_its_level_decays_from_now() -> None:
    policy = BanPolicy(half_life_ms=1_000)
    offences = lift(impose(policy, NO_OFFENCES, 0, jitter=0.0), 500)
    assert not is_banned(offences, 500)
    assert level_at(policy, offences, 1_499) == 1
    assert level_at(policy, offences, 1_500) == 0


def test_a_ban_by_hand_lasts_as_long_as_asked_and_takes_the_place_of_the_one_in_force() -> None:
    policy = BanPolicy()
    offences = impose(policy, NO_OFFENCES, 0, jitter=0.1, duration_ms=5)
    assert offences == OffenceRecord(level=1, banned_until_ms=5)
    assert impose(policy, offences, 1, jitter=0.0, duration_ms=2).banned_until_ms == 3


def test_forgetting_violations_leaves_the_ban() -> None:
    banned = impose(BanPolicy(), NO_OFFENCES, 0, jitter=0.0)
    assert forget_violations(banned) == banned
    warned = violate(BanPolicy(), NO_OFFENCES, 0, 0.0)
    assert forget_violations(warned) == NO_OFFENCES


def test_a_clock_that_stepped_back_neither_forgets_nor_unbans() -> None:
    policy = BanPolicy(threshold=2)
    offences = violate(policy, violate(policy, NO_OFFENCES, 10_000, 0.0), 5_000, 0.0)
    assert violations_at(policy, offences, 10_000 + HOUR_MS - 1) == 2
    banned = impose(policy, NO_OFFENCES, 10_000, jitter=0.0)
    assert is_banned(banned, 5_000)
    assert level_at(policy, banned, 5_000) == 1


@pytest.mark.parametrize("jitter", [-0.01, 0.11, float("nan")])
def test_a_jitter_out_of_bounds_is_refused(jitter: float) -> None:
    with pytest.raises(ValueError, match="jitter"):
        jitter_ppm(jitter)


@pytest.mark.parametrize("duration_ms", [0, -1, DURATION_MS_MAX + 1])
def test_a_ban_by_hand_of_no_or_absurd_length_is_refused(duration_ms: int) -> None:
    with pytest.raises(ValueError, match="ban lasts"):
        impose(BanPolicy(), NO_OFFENCES, 0, jitter=0.0, duration_ms=duration_ms)


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": -1},
        {"base_ms": 0},
        {"base_ms": 2, "max_ms": 1},
        {"max_ms": DURATION_MS_MAX + 1},
        {"half_life_ms": 0},
        {"violations_ttl_ms": 0},
    ],
)
def test_a_ban_policy_that_cannot_be_kept_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must"):
        BanPolicy(**wrong)
