"""Wrong passwords delay an account's name, ever longer, and lock nobody out.

Counted is the name as it was typed, whether it is anybody's or not, so that a delay tells nothing. A device
that has logged in to the account before is not delayed: a guesser elsewhere cannot keep the owner out.
"""

from __future__ import annotations

from dataclasses import dataclass

DOUBLINGS_MAX = 32


@dataclass(frozen=True, slots=True)
class DelayPolicy:
    """Failure number `free_failures` delays by `base_ms`, each further one by twice as much as the last one,
    at most by `max_ms`. After `forget_ms` without a failure, all are forgotten."""

    free_failures: int
    base_ms: int
    max_ms: int = 900_000
    forget_ms: int = 3_600_000

    def __post_init__(self) -> None:
        if self.free_failures < 1 or not 0 < self.base_ms <= self.max_ms <= self.forget_ms:
            raise ValueError(
                "a delay grows from its base to its maximum, and is remembered as long as it lasts"
            )


@dataclass(frozen=True, slots=True)
class Failures:
    """Wrong passwords for one name. Times are milliseconds since the epoch."""

    count: int = 0
    last_ms: int = 0


NO_FAILURES = Failures()


def after_failure(policy: DelayPolicy, failures: Failures, now_ms: int) -> Failures:
    """One more, at this moment; a clock that runs back does not shorten what is under way."""
    remembered = failures.count if _is_remembered(policy, failures, now_ms) else 0
    return Failures(remembered + 1, max(now_ms, failures.last_ms))


def delay_ms(policy: DelayPolicy, failures: Failures, now_ms: int) -> int:
    """How long the next attempt has to wait from now; 0 when it may go on."""
    over = failures.count - policy.free_failures
    if over < 0 or not _is_remembered(policy, failures, now_ms):
        return 0
    delay = min(policy.max_ms, policy.base_ms << min(over, DOUBLINGS_MAX))
    return min(delay, max(0, failures.last_ms + delay - now_ms))


def _is_remembered(policy: DelayPolicy, failures: Failures, now_ms: int) -> bool:
    return failures.count > 0 and now_ms - failures.last_ms < policy.forget_ms
