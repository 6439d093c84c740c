"""Wrong passwords delay the logins of an account name, each longer than the last, and lock no account.

The name counts as typed, whether an account has it or not, so that a delay discloses nothing. A device that
has logged in to the account before is not delayed, so that a guesser elsewhere cannot keep the owner out.
"""

from __future__ import annotations

from dataclasses import dataclass

DOUBLINGS_MAX = 32


@dataclass(frozen=True, slots=True)
class DelayPolicy:
    """Failure number `free_failures` delays by `base_ms`, each further one twice as long, up to `max_ms`.

    Failures are forgotten after `forget_ms` without one. Raises `ValueError` for values that contradict each
    other.
    """

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
    """The wrong passwords for one name, and the time of the last one in milliseconds since the epoch."""

    count: int = 0
    last_ms: int = 0


NO_FAILURES = Failures()


def after_failure(policy: DelayPolicy, failures: Failures, now_ms: int) -> Failures:
    """The failures with one more at `now_ms`. A step back of the clock does not shorten a delay."""
    remembered = failures.count if _is_remembered(policy, failures, now_ms) else 0
    return Failures(remembered + 1, max(now_ms, failures.last_ms))


def delay_ms(policy: DelayPolicy, failures: Failures, now_ms: int) -> int:
    """Milliseconds from `now_ms` that the next attempt has to wait; 0 when it need not."""
    over = failures.count - policy.free_failures
    if over < 0 or not _is_remembered(policy, failures, now_ms):
        return 0
    delay = min(policy.max_ms, policy.base_ms << min(over, DOUBLINGS_MAX))
    return min(delay, max(0, failures.last_ms + delay - now_ms))


def _is_remembered(policy: DelayPolicy, failures: Failures, now_ms: int) -> bool:
    return failures.count > 0 and now_ms - failures.last_ms < policy.forget_ms
