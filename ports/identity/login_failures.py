"""Where wrong passwords are counted, for all processes."""

from __future__ import annotations

from typing import Protocol

from domain.identity.login_delay import DelayPolicy, Failures


class LoginFailures(Protocol):
    """By a name's digest: people type their passwords where their names belong.

    Raises `DependencyUnavailable`.
    """

    async def get(self, digest: str) -> Failures:
        """`NO_FAILURES` for a name without one."""

    async def add(self, digest: str, policy: DelayPolicy, *, now_ms: int) -> None:
        """`login_delay.after_failure` in one step: of failures at the same moment none is lost."""

    async def clear(self, digest: str) -> None:
        """The owner has logged in."""
