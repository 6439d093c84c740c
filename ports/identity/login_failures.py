"""The count of wrong passwords by name, shared by all processes."""

from __future__ import annotations

from typing import Protocol

from domain.identity.login_delay import DelayPolicy, Failures


class LoginFailures(Protocol):
    """Names are stored as digests: people type passwords where their names belong.

    Every method raises `DependencyUnavailable`.
    """

    async def get(self, digest: str) -> Failures:
        """The failures of a name; `NO_FAILURES` when there are none."""

    async def add(self, digest: str, policy: DelayPolicy, *, now_ms: int) -> None:
        """Applies `login_delay.after_failure` atomically: concurrent failures all count."""

    async def clear(self, digest: str) -> None:
        """Forgets the failures of a name, after a login."""
