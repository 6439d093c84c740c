"""Limits the WebSocket messages of a user over all connections and workers, with few calls of the limiter.

A process takes an allowance of several messages at once from the shared window, and spends it by itself. A
slow sender gets one message at a time; a sender that spends an allowance within a second gets twice as many,
up to a small part of the limit. So a window never admits more than its limit. An allowance that is not spent
in time is lost to its user, at most that part for each worker.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from domain.limits.admission import Admission, Verdict
from ports.limits.message_limit import MessageLimit, MessageVerdict
from ports.runtime import Runtime

ALLOWANCE_PARTS: Final = 20
"""An allowance is at most this part of the limit."""
ALLOWANCE_S_MAX: Final = 10.0
QUICK_S: Final = 1.0
USERS_MAX: Final = 10_000
"""Users whose allowances are remembered. A forgotten user takes a new one."""

_VERDICTS = {
    Verdict.ALLOWED: MessageVerdict.ALLOWED,
    Verdict.BANNED: MessageVerdict.BANNED,
    Verdict.REVOKED: MessageVerdict.BANNED,
    Verdict.QUOTA_EXCEEDED: MessageVerdict.OVER_LIMIT,
}


@dataclass(slots=True)
class _Allowance:
    size: int
    left: int
    taken_s: float
    remaining: int
    """Messages that the window still admitted after the allowance was taken."""


class MessageLimiter:
    """`ports.limits.message_limit.MessageLimit` over a rate limiter."""

    def __init__(
        self, *, admit: Callable[[str, int], Awaitable[Admission]], limit: int, runtime: Runtime
    ) -> None:
        """`admit` takes messages of a user from the shared window, all or none; `limit` is its limit."""
        self._admit = admit
        self._size_max = max(1, limit // ALLOWANCE_PARTS)
        self._monotonic = runtime.monotonic
        self._allowances: dict[str, _Allowance] = {}

    async def take(self, user_id: str) -> MessageVerdict:
        """Counts one message of a user."""
        now_s = self._monotonic()
        known = self._allowances.get(user_id)
        if known is not None and known.left > 0 and now_s - known.taken_s < ALLOWANCE_S_MAX:
            known.left -= 1
            return MessageVerdict.ALLOWED
        size = self._next_size(known, now_s)
        admission = await self._admit(user_id, size)
        if admission.verdict is not Verdict.ALLOWED:
            self._allowances.pop(user_id, None)
            return _VERDICTS[admission.verdict]
        self._remember(user_id, size, now_s, admission)
        return MessageVerdict.ALLOWED

    def _next_size(self, known: _Allowance | None, now_s: float) -> int:
        """At most half of the rest of the window: a larger request could be refused, which is a violation."""
        if known is None or now_s - known.taken_s >= QUICK_S:
            return 1
        return max(1, min(2 * known.size, self._size_max, known.remaining // 2))

    def _remember(self, user_id: str, size: int, now_s: float, admission: Admission) -> None:
        # Another connection of the user may have taken an allowance meanwhile: the two add up.
        other = self._allowances.pop(user_id, None)
        left = size - 1 + (other.left if other is not None and other.taken_s >= now_s else 0)
        remaining = admission.standings[0].remaining if admission.standings else 0
        if len(self._allowances) >= USERS_MAX:
            del self._allowances[next(iter(self._allowances))]
        self._allowances[user_id] = _Allowance(size, left, now_s, remaining)


def _proof(limiter: MessageLimiter) -> MessageLimit:
    """mypy holds the service to its port here."""
    return limiter
