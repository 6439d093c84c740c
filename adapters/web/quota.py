"""The limiter's verdict in HTTP's words.

`RateLimit` and `RateLimit-Policy` are those of draft-ietf-httpapi-ratelimit-headers: quota and window
of each policy, what remains and when it is whole again, in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

from adapters.web.asgi import RawHeaders
from adapters.web.route import Problem
from domain.admission import Admission, Standing, Verdict

REVOKED = Problem(
    401,
    "invalid_token",
    "The session has ended.",
    headers=(("WWW-Authenticate", 'Bearer error="invalid_token"'),),
)


def seconds_up(milliseconds: int) -> int:
    """Whole seconds, rounded up: who waits as told must not come too early."""
    return -(-milliseconds // 1000)


def refusal(admission: Admission) -> Problem | None:
    """None when the request was admitted."""
    if admission.verdict is Verdict.ALLOWED:
        return None
    if admission.verdict is Verdict.REVOKED:
        return REVOKED
    if admission.verdict is Verdict.BANNED:
        status, code, detail = 403, "banned", "Banned for exceeding limits again and again."
    else:
        status, code, detail = 429, "quota_exceeded", "Too many requests."
    wait_s = max(1, seconds_up(admission.retry_after_ms))
    return Problem(
        status,
        code,
        f"{detail} Try again in {wait_s} s.",
        headers=(("Retry-After", str(wait_s)),),
        extensions={"retry_after": wait_s},
    )


def quota_headers(standings: Sequence[Standing]) -> RawHeaders:
    """For every answer that was counted."""
    if not standings:
        return []
    policies, limits = [], []
    for standing in standings:
        policy = standing.charge.policy
        policies.append(f'"{policy.name}";q={policy.limit};w={seconds_up(policy.period_ms)}')
        limits.append(f'"{policy.name}";r={standing.remaining};t={seconds_up(standing.reset_ms)}')
    return [
        (b"ratelimit-policy", ", ".join(policies).encode("ascii")),
        (b"ratelimit", ", ".join(limits).encode("ascii")),
    ]
