"""The limiter's verdict in HTTP's words.

`RateLimit` and `RateLimit-Policy` are those of draft-ietf-httpapi-ratelimit-headers-11: quota and window
of each policy in requests and whole seconds, what remains and for how long no more than that. A policy's
name says by what it partitions (`user`, `ip`, …); the partition key itself (`pk`) would tell a client how
it is counted, and is left out, as the draft allows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from adapters.asgi.problems import Problem
from adapters.asgi.types import RawHeaders
from domain.limits.admission import Admission, Verdict

INTEGER_MAX = 999_999_999_999_999
"""Of a structured field (RFC 9651, 3.3.1)."""
QUOTA_EXCEEDED_TYPE = "https://iana.org/assignments/http-problem-types#quota-exceeded"

REVOKED = Problem(
    401,
    "invalid_token",
    "The session has ended.",
    headers=(
        ("WWW-Authenticate", 'Bearer error="invalid_token", error_description="The session has ended"'),
    ),
    blameless=True,
)


def seconds_up(milliseconds: int) -> int:
    """Whole seconds, rounded up: who waits as told must not come too early."""
    return -(-milliseconds // 1000)


def limit_refusal(admission: Admission) -> Problem | None:
    """None when the request was admitted."""
    if admission.verdict is Verdict.ALLOWED:
        return None
    if admission.verdict is Verdict.REVOKED:
        return REVOKED
    if admission.verdict is Verdict.BANNED:
        detail = "Banned for exceeding limits again and again."
        return _wait(403, "banned", detail, admission.retry_after_ms, {})
    return quota_exceeded(
        admission.retry_after_ms,
        [each.charge.policy.name for each in admission.standings if each.remaining < each.charge.cost],
    )


def quota_exceeded(retry_after_ms: int, violated_policies: Sequence[str] = ()) -> Problem:
    """429 with `Retry-After`, in whole seconds, rounded up. Which policies were violated may stay untold."""
    extensions = {"type": QUOTA_EXCEEDED_TYPE, "violated-policies": list(violated_policies)}
    return _wait(429, "quota_exceeded", "Too many requests.", retry_after_ms, extensions)


def _wait(
    status: int, code: str, detail: str, retry_after_ms: int, extensions: Mapping[str, object]
) -> Problem:
    wait_s = _wait_s(retry_after_ms)
    return Problem(
        status,
        code,
        f"{detail} Try again in {wait_s} s.",
        headers=(("Retry-After", str(wait_s)),),
        extensions={"retry_after": wait_s, **extensions},
    )


def quota_headers(admission: Admission) -> RawHeaders:
    """For every answer that was counted.

    After a refusal no window is told to be shut for longer than `Retry-After`: a client must not find
    the one contradicting the other (section 6 of the draft), and for a shorter time it is as true.
    """
    if not admission.standings:
        return []
    t_max = INTEGER_MAX if admission.verdict is Verdict.ALLOWED else _wait_s(admission.retry_after_ms)
    policies, limits = [], []
    for standing in admission.standings:
        policy = standing.charge.policy
        window = f"w={min(seconds_up(policy.period_ms), INTEGER_MAX)}"
        policies.append(f'"{policy.name}";q={min(policy.limit, INTEGER_MAX)};{window}')
        shut_s = min(seconds_up(standing.reset_ms), t_max)
        limits.append(f'"{policy.name}";r={min(standing.remaining, INTEGER_MAX)};t={shut_s}')
    return [
        (b"ratelimit-policy", ", ".join(policies).encode("ascii")),
        (b"ratelimit", ", ".join(limits).encode("ascii")),
    ]


def _wait_s(retry_after_ms: int) -> int:
    return max(1, seconds_up(retry_after_ms))
