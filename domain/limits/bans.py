"""From violations to bans: who keeps going over the limit is shut out, each time for longer.

Times are milliseconds since the epoch, all arithmetic is exact in doubles (see `domain.limits.windows`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from domain.limits.identifiers import Identifier, IdentifierType, is_network

DURATION_MS_MAX = 366 * 86_400_000
LEVEL_MAX = 64
"""Doubling so often passes every `max_ms`; it bounds how long a level takes to fall to none."""
VIOLATIONS_MAX = 2**31

ESCALATION_NETWORKS = 4
"""So many /64s of one /56, banned within the violations' memory, ban the /56. Some hosters give each
customer one /64 out of a /56 that all share: a pair of them misbehaving is no reason to shut out the
others, and who owns a /56 is stopped after 4 of its 256."""

REASON_VIOLATIONS = "violations"
"""The reason of a ban that nobody imposed by hand."""
REASON_ESCALATION = "escalation"
"""The reason of a /56's ban: several of its /64s were banned."""

JITTER_MAX = 0.1
_PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class BanPolicy:
    """How violations turn into bans. Raises ValueError for what cannot be kept."""

    threshold: int = 5
    """So many violations answer with a refusal only; the next one bans."""
    base_ms: int = 60_000
    max_ms: int = 86_400_000
    half_life_ms: int = 86_400_000
    """Each full one since the last ban's end lowers the level by 1."""
    violations_ttl_ms: int = 3_600_000
    """Violations are forgotten after so long without one."""
    bans_api_keys: bool = False
    """Whether violations of a verified key count. Who holds one is known and can be talked to: going over
    its limit is a bug or a burst, and a ban turns it into an outage."""

    def __post_init__(self) -> None:
        if not 0 <= self.threshold < VIOLATIONS_MAX:
            raise ValueError(f"the threshold must be within 0 … {VIOLATIONS_MAX - 1}")
        if not 1 <= self.base_ms <= self.max_ms <= DURATION_MS_MAX:
            raise ValueError("ban durations must satisfy 1 ms <= base <= max <= 366 days")
        if not 1 <= self.half_life_ms <= DURATION_MS_MAX:
            raise ValueError("the half-life must be within 1 ms … 366 days")
        if not 1 <= self.violations_ttl_ms <= DURATION_MS_MAX:
            raise ValueError("the memory of violations must be within 1 ms … 366 days")

    def blames(self, kind: IdentifierType) -> bool:
        """Whether violations of identifiers of this type count, and ban; by hand more can be banned."""
        return kind.bannable and (self.bans_api_keys or kind is not IdentifierType.API_KEY)


@dataclass(frozen=True, slots=True)
class OffenceRecord:
    """What is remembered of one identifier's offences. The zero value is a clean sheet."""

    violations: int = 0
    violated_ms: int = 0
    level: int = 0
    """As it was when the last ban began; `level_at` knows how far it has fallen since."""
    banned_until_ms: int = 0


NO_OFFENCES = OffenceRecord()


@dataclass(frozen=True, slots=True)
class SubnetBans:
    """Which networks inside a wider one were banned for violations, each with the moment, the last at the
    end; fewer than `ESCALATION_NETWORKS`. Bans by hand are not among them: they say whom they mean."""

    banned: tuple[tuple[Identifier, int], ...] = ()


NO_SUBNET_BANS = SubnetBans()


@dataclass(frozen=True, slots=True)
class Ban:
    """An identifier refused until a moment."""

    identifier: Identifier
    until_ms: int
    level: int
    reason: str = ""
    escalated: bool = False
    """Its violations' ban that banned its network (`domain.limits.identifiers.network_of`), too."""


def automatic_reason(identifier: Identifier) -> str:
    """Why somebody was banned whom nobody banned by hand."""
    return REASON_ESCALATION if is_network(identifier) else REASON_VIOLATIONS


def jitter_ppm(jitter: float) -> int:
    """A jitter of 0 … 0.1 in parts per million, so that durations are integers everywhere."""
    if not 0.0 <= jitter <= JITTER_MAX:
        raise ValueError(f"jitter {jitter} is not within 0 … {JITTER_MAX}")
    return int(jitter * _PPM)


def is_banned(offences: OffenceRecord, now_ms: int) -> bool:
    return now_ms < offences.banned_until_ms


def violations_at(policy: BanPolicy, offences: OffenceRecord, now_ms: int) -> int:
    """Violations that still count."""
    return offences.violations if _counts(policy, offences.violated_ms, now_ms) else 0


def level_at(policy: BanPolicy, offences: OffenceRecord, now_ms: int) -> int:
    """The level after what has decayed since the last ban's end."""
    since_end_ms = max(0, now_ms - offences.banned_until_ms)
    return max(0, offences.level - since_end_ms // policy.half_life_ms)


def ban_duration_ms(policy: BanPolicy, level: int, ppm: int) -> int:
    """`min(max, base · 2^(level−1) · (1 + jitter))`."""
    plain_ms = min(policy.max_ms, policy.base_ms << (level - 1))
    return min(policy.max_ms, plain_ms + plain_ms * ppm // _PPM)


def violate(policy: BanPolicy, offences: OffenceRecord, now_ms: int, jitter: float) -> OffenceRecord:
    """One more violation; past the threshold it becomes a ban and the count starts anew."""
    count = violations_at(policy, offences, now_ms) + 1
    if count > policy.threshold:
        return impose(policy, offences, now_ms, jitter=jitter)
    # A clock that stepped back must not shorten the memory of what was seen.
    violated_ms = max(now_ms, offences.violated_ms) if count > 1 else now_ms
    return replace(offences, violations=count, violated_ms=violated_ms)


def impose(
    policy: BanPolicy,
    offences: OffenceRecord,
    now_ms: int,
    *,
    jitter: float,
    duration_ms: int | None = None,
) -> OffenceRecord:
    """Bans from now on, in place of a ban in force; None takes the duration that the level gives."""
    level = min(LEVEL_MAX, level_at(policy, offences, now_ms) + 1)
    if duration_ms is None:
        duration_ms = ban_duration_ms(policy, level, jitter_ppm(jitter))
    elif not 1 <= duration_ms <= DURATION_MS_MAX:
        raise ValueError("a ban lasts from 1 ms to 366 days")
    return OffenceRecord(level=level, banned_until_ms=now_ms + duration_ms)


def escalate(
    policy: BanPolicy, subnet_bans: SubnetBans, inner: Identifier, now_ms: int
) -> tuple[SubnetBans, bool]:
    """One ban more inside a wider network; whether that was one too many for all of it."""
    banned = (
        *((other, at) for other, at in subnet_bans.banned if other != inner and _counts(policy, at, now_ms)),
        (inner, now_ms),
    )
    if len(banned) >= ESCALATION_NETWORKS:
        return NO_SUBNET_BANS, True
    return SubnetBans(banned), False


def subnet_bans_expire_at_ms(policy: BanPolicy, subnet_bans: SubnetBans) -> int:
    """The moment from which no ban inside counts any more."""
    return (
        max((at for _, at in subnet_bans.banned), default=-policy.violations_ttl_ms)
        + policy.violations_ttl_ms
    )


def lift(offences: OffenceRecord, now_ms: int) -> OffenceRecord:
    """A lifted ban is one that ends now; its level decays as any other's."""
    return replace(offences, banned_until_ms=min(now_ms, offences.banned_until_ms))


def forget_violations(offences: OffenceRecord) -> OffenceRecord:
    return replace(offences, violations=0, violated_ms=0)


def offences_expire_at_ms(policy: BanPolicy, offences: OffenceRecord) -> int:
    """The moment from which these offences and a clean sheet are the same."""
    moment_ms = 0
    if offences.violations:
        moment_ms = offences.violated_ms + policy.violations_ttl_ms
    if offences.level:
        moment_ms = max(moment_ms, offences.banned_until_ms + offences.level * policy.half_life_ms)
    return moment_ms


def _counts(policy: BanPolicy, seen_ms: int, now_ms: int) -> bool:
    return now_ms - seen_ms < policy.violations_ttl_ms
