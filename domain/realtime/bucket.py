"""A token bucket in integers."""

from __future__ import annotations

from dataclasses import dataclass

MILLI = 1_000


@dataclass(frozen=True, slots=True)
class BucketPolicy:
    """`rate_per_s` in the long run, `burst` at once."""

    rate_per_s: int
    burst: int

    def full(self, now_ms: int) -> Bucket:
        return Bucket(self.burst * MILLI, now_ms)


@dataclass(frozen=True, slots=True)
class Bucket:
    """The rest at a moment. A token is 1,000 millitokens, of which `rate_per_s` come per millisecond."""

    millitokens: int
    at_ms: int


def take(policy: BucketPolicy, bucket: Bucket, now_ms: int) -> Bucket | None:
    """The bucket with one token fewer, or None when there is none. A clock that runs back adds nothing."""
    elapsed_ms = max(0, now_ms - bucket.at_ms)
    millitokens = min(policy.burst * MILLI, bucket.millitokens + elapsed_ms * policy.rate_per_s)
    if millitokens < MILLI:
        return None
    return Bucket(millitokens - MILLI, max(now_ms, bucket.at_ms))
