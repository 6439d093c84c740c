"""Whether an attempt to log in may be made now: windows bound the rush, delays the patience."""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass
from typing import Protocol

from domain.identity.login_delay import NO_FAILURES, DelayPolicy, Failures, delay_ms
from domain.limits.admission import Admission, Verdict
from ports.clock import Clock
from ports.identity.login_failures import LoginFailures

LOGIN_POLICY = "login"


@dataclass(frozen=True, slots=True)
class LoginAttempt:
    """Somebody types a password for a name. `device` is the digest of a known device of the account."""

    name: str
    """Its uniqueness key."""
    device: str | None = None


@dataclass(frozen=True, slots=True)
class LoginAdmitted:
    """The password may be checked; the gate wants to hear how it ended."""

    attempt: LoginAttempt
    failures: Failures = NO_FAILURES
    """What stood against the name."""


@dataclass(frozen=True, slots=True)
class LoginDelayed:
    """Too many attempts on this name: nothing was checked."""

    retry_after_ms: int


class NameLimiter(Protocol):
    """The application's rate limiter, as far as it counts account names."""

    async def admit_account_name(self, policy: str, name: str) -> Admission: ...


class LoginThrottle:
    """Raises `DependencyUnavailable`: without its memory nobody may guess.

    `key` is what names are digested with.
    """

    def __init__(
        self,
        *,
        limiter: NameLimiter,
        failures: LoginFailures,
        clock: Clock,
        key: bytes,
        policy: DelayPolicy,
    ) -> None:
        self._limiter = limiter
        self._failures = failures
        self._clock = clock
        self._key = key
        self._policy = policy

    async def admit(self, attempt: LoginAttempt) -> LoginAdmitted | LoginDelayed:
        """A known device has a window of its own, which nobody else can fill, and no delay."""
        admitted, counted = LoginAdmitted(attempt), attempt.name
        if attempt.device is None:
            failures = await self._failures.get(self._digest(attempt.name))
            wait_ms = delay_ms(self._policy, failures, self._clock.now_ms())
            if wait_ms:
                return LoginDelayed(wait_ms)
            admitted = LoginAdmitted(attempt, failures)
        else:
            counted = f"{attempt.name}\0{attempt.device}"
        admission = await self._limiter.admit_account_name(LOGIN_POLICY, counted)
        return admitted if admission.verdict is Verdict.ALLOWED else LoginDelayed(admission.retry_after_ms)

    async def failed(self, admitted: LoginAdmitted) -> None:
        """The password was wrong, or the name nobody's."""
        attempt = admitted.attempt
        if attempt.device is None:
            await self._failures.add(self._digest(attempt.name), self._policy, now_ms=self._clock.now_ms())

    async def succeeded(self, admitted: LoginAdmitted) -> None:
        """The password was right. What others fail at while the owner uses a known device still counts."""
        if admitted.failures.count:
            await self._failures.clear(self._digest(admitted.attempt.name))

    def _digest(self, name: str) -> str:
        digest = hmac.digest(self._key, b"login name\0" + name.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()
