"""Windows: how much somebody may do in a period, by three algorithms.

Everything is exact integer arithmetic in milliseconds, and every intermediate value stays under
2^52, so that a script which only has IEEE doubles computes the very same numbers (the floor of a
quotient of two integers is exact in doubles while the dividend is under 2^52).

What each algorithm promises of the cost admitted, for `limit` in `period`:

- fixed-window: at most `limit` in each window aligned to the epoch, so at most `2·limit` in any period.
- sliding-window: the same, less than `2·limit` in any period, and at each admission the present
  window's count and the one before, weighted by how much of it the last period still covers, are at
  most `limit` together.
- gcra: at most `limit + limit·d/period` in any stretch of length `d`.

Waiting never makes a decision worse, and a refused request changes no state.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

LIMIT_PERIOD_MAX = 2**50
"""Bound of `limit × period_ms`; the algorithms add up to three such products."""

_UNIT_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_RATE = re.compile(r"([0-9]{1,16})/([0-9]{1,16})(ms|s|m|h|d)", re.ASCII)
_NAME = re.compile(r"[a-z0-9_.-]{1,64}", re.ASCII)


class Algorithm(Enum):
    FIXED_WINDOW = "fixed-window"
    SLIDING_WINDOW = "sliding-window"
    GCRA = "gcra"


@dataclass(frozen=True, slots=True)
class Policy:
    """At most `limit` in `period_ms`, by one algorithm. Raises ValueError for what cannot be kept."""

    name: str
    """`[a-z0-9_.-]{1,64}`: it is part of a storage key and of a response header."""
    limit: int
    period_ms: int
    algorithm: Algorithm = Algorithm.SLIDING_WINDOW

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"policy name {self.name!r} is not [a-z0-9_.-]{{1,64}}")
        _check_rate(self.limit, self.period_ms)

    def __hash__(self) -> int:
        # Names tell policies apart well enough, and this is looked up many times a decision.
        return hash(self.name)

    @property
    def window(self) -> str:
        """What tells this policy's counts from others': a changed period or algorithm starts anew."""
        return f"{self.name}:{self.algorithm.value}:{self.period_ms}"


@dataclass(frozen=True, slots=True)
class WindowState:
    """What a window remembers. The zero value is a window that has counted nothing."""

    since_ms: int = 0
    """Start of the aligned window that `used` counts; gcra: when `used` was last drained."""
    used: int = 0
    """Cost admitted in it; gcra: the bucket's level in units of 1/period of a request."""
    before: int = 0
    """Cost admitted in the window before; sliding-window only."""


UNUSED = WindowState()


@dataclass(frozen=True, slots=True)
class WindowDecision:
    """What one window says to one request."""

    allowed: bool
    remaining: int
    """Cost that would still be admitted at this moment, after this request."""
    retry_after_ms: int
    """Exactly how long until the same request would pass if nothing else is counted; 0 when allowed."""
    reset_ms: int
    """How long until the window is whole again, after this request."""


def parse_policy_rate(text: str) -> tuple[int, int]:
    """`"100/60s"`, `"1000/1h"`, `"10/1m"` → (limit, period_ms). Units: ms, s, m, h, d."""
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"rate {text!r} is not of the form 100/60s (units: {', '.join(_UNIT_MS)})")
    limit, period_ms = int(match[1]), int(match[2]) * _UNIT_MS[match[3]]
    try:
        _check_rate(limit, period_ms)
    except ValueError as error:
        raise ValueError(f"rate {text!r}: {error}") from None
    return limit, period_ms


def take(policy: Policy, state: WindowState, now_ms: int, cost: int) -> tuple[WindowDecision, WindowState]:
    """Decides by the policy's own algorithm. `1 <= cost <= policy.limit`; a larger one never passes."""
    if not 1 <= cost <= policy.limit:
        raise ValueError(f"cost {cost} is not within 1 … {policy.limit} ({policy.name})")
    return _ALGORITHMS[policy.algorithm](policy, state, now_ms, cost)


def peek(policy: Policy, state: WindowState, now_ms: int) -> WindowDecision:
    """How the window stands, without counting anything."""
    return _ALGORITHMS[policy.algorithm](policy, state, now_ms, 0)[0]


def refund(policy: Policy, state: WindowState, taken_ms: int, cost: int) -> WindowState:
    """The state without a `cost` that `take` admitted and that was not used after all.

    `taken_ms` is the `since_ms` of the state that `take` gave. What counts no longer is not given back, so
    nobody is ever admitted more than the algorithm promises.
    """
    if policy.algorithm is Algorithm.GCRA:
        # Of what was added so much may have drained since, and is not there any more.
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
    """Weighs the window before by the part of it that the last period still covers.

    The counter of two windows as Cloudflare described it (2017), here without rounding.
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
    # A level kept from a higher limit counts as a full bucket: it is never owed longer than a period.
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
    """The state seen from the window that `now_ms` lies in; a clock that stepped back stays in its."""
    start_ms = now_ms - now_ms % policy.period_ms
    if start_ms <= state.since_ms:
        return state
    just_before = state.since_ms + policy.period_ms == start_ms
    return WindowState(start_ms, 0, state.used if just_before else 0)


def _sliding_passes_ms(policy: Policy, window: WindowState, cost: int) -> int:
    """The first moment at which `cost`, refused now, passes if nothing else is counted."""
    period_ms = policy.period_ms
    room = (policy.limit - cost - window.used) * period_ms
    if room >= 0:
        # Refused only because of the window before: wait until less of it is covered.
        return window.since_ms + period_ms - room // window.before
    # This window alone is too full: in the next one it is the window before.
    room = (policy.limit - cost) * period_ms
    return window.since_ms + period_ms + max(0, period_ms - room // window.used)


def _check_rate(limit: int, period_ms: int) -> None:
    if limit < 1:
        raise ValueError("the limit must be at least 1")
    if period_ms < 1:
        raise ValueError("the period must be at least 1 ms")
    if limit * period_ms > LIMIT_PERIOD_MAX:
        raise ValueError("the limit times the period in milliseconds must be at most 2^50")
