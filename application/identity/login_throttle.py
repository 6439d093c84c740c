"""Throttles logins: a rate window bounds bursts, growing delays bound patient guessing."""

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
    """An attempt to log in to the account of a name."""

    name: str
    """The uniqueness key of the name as typed, whether an account has it or not."""
    device: str | None = None
    """The digest of a device that the account knows; None for any other."""


@dataclass(frozen=True, slots=True)
class LoginAdmitted:
    """The password may be checked. The throttle is told the result: `record_failure` or `record_success`."""

    attempt: LoginAttempt
    failures: Failures = NO_FAILURES
    """The failures of the name so far."""


@dataclass(frozen=True, slots=True)
class LoginDelayed:
    """Too many attempts on this name. No password was checked."""

    retry_after_ms: int


class NameLimiter(Protocol):
    """A limiter that counts account names, such as `application.limits.rate_limiter.RateLimiter`."""

    async def admit_account_name(self, policy: str, name: str) -> Admission:
        """Counts an attempt on a name by the policy of that name. Raises `DependencyUnavailable`."""


class LoginThrottle:
    """Every method raises `DependencyUnavailable`: without the counts of failures no password is checked."""

    def __init__(
        self,
        *,
        limiter: NameLimiter,
        failures: LoginFailures,
        clock: Clock,
        key: bytes,
        policy: DelayPolicy,
    ) -> None:
        """`key` digests the names that are stored (32 bytes)."""
        self._limiter = limiter
        self._failures = failures
        self._clock = clock
        self._key = key
        self._policy = policy

    async def admit(self, attempt: LoginAttempt) -> LoginAdmitted | LoginDelayed:
        """Whether the password may be checked now.

        A known device has no delay, and a window of its own, which no other device can fill.
        """
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

    async def record_failure(self, admitted: LoginAdmitted) -> None:
        """Counts a wrong password or an unknown name."""
        attempt = admitted.attempt
        if attempt.device is None:
            await self._failures.add(self._digest(attempt.name), self._policy, now_ms=self._clock.now_ms())

    async def record_success(self, admitted: LoginAdmitted) -> None:
        """Forgets the failures of the name, but not for a known device: others may be guessing."""
        if admitted.failures.count:
            await self._failures.clear(self._digest(admitted.attempt.name))

    def _digest(self, name: str) -> str:
        digest = hmac.digest(self._key, b"login name\0" + name.encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest[:16]).rstrip(b"=").decode()
