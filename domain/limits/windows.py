"""Windows: how much is admitted in a period, by three algorithms.

All arithmetic is on integers, in milliseconds, and every intermediate value stays under 2^52, so that a
script that has only IEEE doubles computes the same numbers (the floor of a quotient of two integers is exact
in doubles while the dividend is under 2^52).

Each algorithm bounds the cost that it admits, for `limit` in `period`:

- fixed-window: at most `limit` in each window aligned to the epoch, so at most `2·limit` in any period.
- sliding-window: less than `2·limit` in any period. At each admission, the count of the present window and
  that of the previous one, weighted by the part of it that the last period covers, are at most `limit`.
- gcra: at most `limit + limit·d/period` in any stretch of length `d`.

Waiting never turns an admission into a refusal, and a refused request changes no state.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

LIMIT_PERIOD_MAX = 2**50
"""Bound of `limit × period_ms`; the algorithms add up to three such products."""

UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_RATE = re.compile(r"([0-9]{1,16})/([0-9]{1,16})(ms|s|m|h|d)", re.ASCII)
_NAME = re.compile(r"[a-z0-9_.-]{1,64}", re.ASCII)


class Algorithm(Enum):
    FIXED_WINDOW = "fixed-window"
    SLIDING_WINDOW = "sliding-window"
    GCRA = "gcra"


@dataclass(frozen=True, slots=True)
class Policy:
    """At most `limit` in `period_ms`, by one algorithm. Raises `ValueError` for values out of range."""

    name: str
    """`[a-z0-9_.-]{1,64}`, as a part of storage keys and of response headers."""
    limit: int
    period_ms: int
    algorithm: Algorithm = Algorithm.SLIDING_WINDOW

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"policy name {self.name!r} is not [a-z0-9_.-]{{1,64}}")
        _check_rate(self.limit, self.period_ms)

    def __hash__(self) -> int:
        # Names tell policies apart well enough, and this is called many times in a decision.
        return hash(self.name)

    @property
    def window(self) -> str:
        """The name of this policy's counts: a change of the period or the algorithm starts new ones."""
        return f"{self.name}:{self.algorithm.value}:{self.period_ms}"


@dataclass(frozen=True, slots=True)
class WindowState:
    """The state of a window. The zero value is `UNUSED`."""

    since_ms: int = 0
    """The start of the aligned window that `used` counts. gcra: the time of the last drain of `used`."""
    used: int = 0
    """The cost admitted in that window. gcra: the level of the bucket, in units of 1/period of a request."""
    before: int = 0
    """The cost admitted in the previous window. sliding-window only."""


UNUSED = WindowState()


@dataclass(frozen=True, slots=True)
class WindowDecision:
    """The decision of one window about one request."""

    allowed: bool
    remaining: int
    """The cost that would still be admitted now, after this request."""
    retry_after_ms: int
    """Milliseconds until the same request would pass if nothing else is counted; 0 when allowed."""
    reset_ms: int
    """Milliseconds until the window is whole again, after this request."""


def parse_policy_rate(text: str) -> tuple[int, int]:
    """The limit and the period in ms of `"100/60s"`, `"1000/1h"`, `"10/1m"`. Raises `ValueError`."""
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"rate {text!r} is not of the form 100/60s (units: {', '.join(UNIT_MS)})")
    limit, period_ms = int(match[1]), int(match[2]) * UNIT_MS[match[3]]
    try:
        _check_rate(limit, period_ms)
    except ValueError as error:
        raise ValueError(f"rate {text!r}: {error}") from None
    return limit, period_ms


def take(policy: Policy, state: WindowState, now_ms: int, cost: int) -> tuple[WindowDecision, WindowState]:
    """Charges a cost of 1 … `policy.limit` by the policy's algorithm. Raises `ValueError` for any other."""
    if not 1 <= cost <= policy.limit:
        raise ValueError(f"cost {cost} is not within 1 … {policy.limit} ({policy.name})")
    return _ALGORITHMS[policy.algorithm](policy, state, now_ms, cost)


def peek(policy: Policy, state: WindowState, now_ms: int) -> WindowDecision:
    """How the window stands, without a charge."""
    return _ALGORITHMS[policy.algorithm](policy, state, now_ms, 0)[0]


def refund(policy: Policy, state: WindowState, taken_ms: int, cost: int) -> WindowState:
    """The state without a `cost` that `take` admitted and the request did not use.

    `taken_ms` is the `since_ms` of the state that `take` returned. A cost that has expired is not refunded,
    so that the bound of the algorithm holds.
    """
    if policy.algorithm is Algorithm.GCRA:
        # The part that may have drained since is not refunded.
        left = cost * policy.period_ms - max(0, state.since_ms - taken_ms) * policy.limit
        return replace(state, used=max(0, state.used - max(0, left)))
    if state.since_ms == taken_ms:
        return replace(state, used=max(0, state.used - cost))
    if state.since_ms == taken_ms + policy.period_ms:
        return replace(state, before=max(0, state.before - cost))
    return state


def fixed_window(
    policy: Policy, state: WindowState, now_ms: int, cost: int
) -> tuple[WindowDecision, WindowState]:
    """Counts from zero in each window aligned to the epoch."""
    window = _roll(policy, state, now_ms)
    end_ms = window.since_ms + policy.period_ms
    allowed = window.used + cost <= policy.limit
    if allowed and cost:
        state = window = WindowState(window.since_ms, window.used + cost)
    decision = WindowDecision(
        allowed=allowed,
        remaining=max(0, policy.limit - window.used),
        retry_after_ms=0 if allowed else end_ms - now_ms,
        reset_ms=end_ms - now_ms if window.used else 0,
    )
    return decision, state


def sliding_window(
    policy: Policy, state: WindowState, now_ms: int, cost: int
) -> tuple[WindowDecision, WindowState]:
    """Weighs the previous window by the part of it that the last period covers.

    The counter of two windows that Cloudflare described in 2017, without rounding.
    """
    period_ms, limit = policy.period_ms, policy.limit
    window = _roll(policy, state, now_ms)
    elapsed_ms = max(now_ms, window.since_ms) - window.since_ms
    covered = window.before * (period_ms - elapsed_ms)
    allowed = covered + (window.used + cost) * period_ms <= limit * period_ms
    retry_after_ms = 0
    if allowed and cost:
        state = window = WindowState(window.since_ms, window.used + cost, window.before)
    elif not allowed:
        retry_after_ms = _sliding_passes_ms(policy, window, cost) - now_ms
    end_ms = window.since_ms + period_ms
    reset_ms = 0
    if window.used or window.before:
        reset_ms = end_ms + (period_ms if window.used else 0) - now_ms
    decision = WindowDecision(
        allowed=allowed,
        remaining=max(0, (limit - window.used) * period_ms - covered) // period_ms,
        retry_after_ms=retry_after_ms,
        reset_ms=reset_ms,
    )
    return decision, state


def gcra(policy: Policy, state: WindowState, now_ms: int, cost: int) -> tuple[WindowDecision, WindowState]:
    """The generic cell rate algorithm as a leaky bucket (ITU-T I.371, annex A.1).

    A request adds `period_ms` units, `limit` units drain each millisecond, the bucket holds
    `limit × period_ms`: no division, hence no rounding, whatever the rate.
    """
    period_ms, limit = policy.period_ms, policy.limit
    room = limit * period_ms
    at_ms = max(now_ms, state.since_ms)
    elapsed_ms = at_ms - state.since_ms
    # A level from a former, higher limit counts as a full bucket: it drains within a period.
    level = 0 if elapsed_ms >= period_ms else max(0, min(state.used, room) - elapsed_ms * limit)
    raised = level + cost * period_ms
    allowed = raised <= room
    if allowed and cost:
        state, level = WindowState(at_ms, raised), raised
    behind_ms = at_ms - now_ms
    decision = WindowDecision(
        allowed=allowed,
        remaining=(room - level) // period_ms,
        retry_after_ms=0 if allowed else behind_ms + -(-(raised - room) // limit),
        reset_ms=behind_ms + -(-level // limit) if level else 0,
    )
    return decision, state


_ALGORITHMS: dict[
    Algorithm, Callable[[Policy, WindowState, int, int], tuple[WindowDecision, WindowState]]
] = {
    Algorithm.FIXED_WINDOW: fixed_window,
    Algorithm.SLIDING_WINDOW: sliding_window,
    Algorithm.GCRA: gcra,
}


def _roll(policy: Policy, state: WindowState, now_ms: int) -> WindowState:
    """The state in the window of `now_ms`. After a step back of the clock, the later window stays."""
    start_ms = now_ms - now_ms % policy.period_ms
    if start_ms <= state.since_ms:
        return state
    just_before = state.since_ms + policy.period_ms == start_ms
    return WindowState(start_ms, 0, state.used if just_before else 0)


def _sliding_passes_ms(policy: Policy, window: WindowState, cost: int) -> int:
    """The first time at which `cost`, refused now, passes if nothing else is counted."""
    period_ms = policy.period_ms
    room = (policy.limit - cost - window.used) * period_ms
    if room >= 0:
        # Refused only because of the previous window: wait until less of it is covered.
        return window.since_ms + period_ms - room // window.before
    # The present window alone is too full: in the next one it is the previous window.
    room = (policy.limit - cost) * period_ms
    return window.since_ms + period_ms + max(0, period_ms - room // window.used)


def _check_rate(limit: int, period_ms: int) -> None:
    if limit < 1:
        raise ValueError("the limit must be at least 1")
    if period_ms < 1:
        raise ValueError("the period must be at least 1 ms")
    if limit * period_ms > LIMIT_PERIOD_MAX:
        raise ValueError("the limit times the period in milliseconds must be at most 2^50")
