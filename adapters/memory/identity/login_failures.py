"""Wrong passwords, counted in memory."""

from __future__ import annotations

from collections import OrderedDict

from domain.identity.login_delay import NO_FAILURES, DelayPolicy, Failures, after_failure
from ports.identity.login_failures import LoginFailures

NAMES_MAX = 100_000


class MemoryLoginFailures:
    """Keeps the `names_max` names that failed last."""

    def __init__(self, *, names_max: int = NAMES_MAX) -> None:
        self._names_max = names_max
        self._failures: OrderedDict[str, Failures] = OrderedDict()

    async def get(self, digest: str) -> Failures:
        return self._failures.get(digest, NO_FAILURES)

    async def add(self, digest: str, policy: DelayPolicy, *, now_ms: int) -> None:
        self._failures[digest] = after_failure(policy, self._failures.get(digest, NO_FAILURES), now_ms)
        self._failures.move_to_end(digest)
        if len(self._failures) > self._names_max:
            self._failures.popitem(last=False)

    async def clear(self, digest: str) -> None:
        self._failures.pop(digest, None)


def _proof(failures: MemoryLoginFailures) -> LoginFailures:
    """mypy holds the adapter to its port here."""
    return failures
