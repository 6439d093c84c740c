"""From violations to bans: an identifier that keeps exceeding limits is banned, each time for longer.

Times are milliseconds since the epoch. All arithmetic is exact in doubles (see `domain.limits.windows`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from domain.limits.identifiers import Identifier, IdentifierType, is_network

DURATION_MS_MAX = 366 * 86_400_000
LEVEL_MAX = 64
"""So many doublings exceed every `max_ms`. It bounds the time in which a level decays to 0."""
VIOLATIONS_MAX = 2**31

ESCALATION_NETWORKS = 4
"""So many banned /64s of one /56 within `violations_ttl_ms` ban the /56. Some hosters give each customer one
/64 of a shared /56, where two misbehaving customers are no reason to ban the others; and the owner of a whole
/56 is stopped after 4 of its 256."""

REASON_VIOLATIONS = "violations"
"""The reason of an automatic ban."""
REASON_ESCALATION = "escalation"
"""The reason of the automatic ban of a /56 with several banned /64s."""

JITTER_MAX = 0.1
JITTER_BYTES = 2
"""Random bytes of one jitter."""
_PPM = 1_000_000


@dataclass(frozen=True, slots=True)
class BanPolicy:
    """How violations turn into bans. Raises `ValueError` for values out of range."""

    threshold: int = 5
    """Violations that are only refused; the next one bans."""
    base_ms: int = 60_000
    max_ms: int = 86_400_000
    half_life_ms: int = 86_400_000
    """The time after a ban that lowers the level by 1."""
    violations_ttl_ms: int = 3_600_000
    """The time without a violation after which all are forgotten."""
    bans_api_keys: bool = False
    """Whether violations of a verified API key count. The holder of a key is known: exceeding its limit is a
    bug or a burst, which a ban would turn into an outage."""

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
        """Whether violations of this type of identifier count and ban. A ban by hand may have other types."""
        return kind.bannable and (self.bans_api_keys or kind is not IdentifierType.API_KEY)


@dataclass(frozen=True, slots=True)
class OffenceRecord:
    """The offences of one identifier. The zero value is `NO_OFFENCES`."""

    violations: int = 0
    violated_ms: int = 0
    level: int = 0
    """The level when the last ban began; `level_at` applies its decay."""
    banned_until_ms: int = 0


NO_OFFENCES = OffenceRecord()


@dataclass(frozen=True, slots=True)
class SubnetBans:
    """The networks inside of a wider one that were banned automatically, each with its time, the latest last.

    Fewer than `ESCALATION_NETWORKS`. Bans by hand do not count: they name exactly what they ban.
    """

    banned: tuple[tuple[Identifier, int], ...] = ()


NO_SUBNET_BANS = SubnetBans()


@dataclass(frozen=True, slots=True)
class Ban:
    """A ban of an identifier. `until_ms` is since the epoch."""

    identifier: Identifier
    until_ms: int
    level: int
    reason: str = ""
    escalated: bool = False
    """Whether this automatic ban also banned the network (`domain.limits.identifiers.network_of`)."""


def automatic_reason(identifier: Identifier) -> str:
    """The reason of an automatic ban of an identifier."""
    return REASON_ESCALATION if is_network(identifier) else REASON_VIOLATIONS


def jitter_from(randomness: bytes) -> float:
    """A jitter of 0 … `JITTER_MAX` from `JITTER_BYTES` random bytes."""
    return int.from_bytes(randomness, "big") / ((1 << 8 * JITTER_BYTES) - 1) * JITTER_MAX


def jitter_ppm(jitter: float) -> int:
    """A jitter of 0 … 0.1 in parts per million, so that every store computes with integers."""
    if not 0.0 <= jitter <= JITTER_MAX:
        raise ValueError(f"jitter {jitter} is not within 0 … {JITTER_MAX}")
    return int(jitter * _PPM)


def is_banned(offences: OffenceRecord, now_ms: int) -> bool:
    """Whether a ban is in force at `now_ms`."""
    return now_ms < offences.banned_until_ms


def violations_at(policy: BanPolicy, offences: OffenceRecord, now_ms: int) -> int:
    """The violations that still count at `now_ms`."""
    return offences.violations if _counts(policy, offences.violated_ms, now_ms) else 0


def level_at(policy: BanPolicy, offences: OffenceRecord, now_ms: int) -> int:
    """The level at `now_ms`, after its decay since the end of the last ban."""
    since_end_ms = max(0, now_ms - offences.banned_until_ms)
    return max(0, offences.level - since_end_ms // policy.half_life_ms)


def ban_duration_ms(policy: BanPolicy, level: int, ppm: int) -> int:
    """`min(max, base · 2^(level−1) · (1 + jitter))`."""
    plain_ms = min(policy.max_ms, policy.base_ms << (level - 1))
    return min(policy.max_ms, plain_ms + plain_ms * ppm // _PPM)


def violate(policy: BanPolicy, offences: OffenceRecord, now_ms: int, jitter: float) -> OffenceRecord:
    """Adds a violation. One above the threshold becomes a ban and resets the count."""
    count = violations_at(policy, offences, now_ms) + 1
    if count > policy.threshold:
        return impose(policy, offences, now_ms, jitter=jitter)
    # A clock that stepped back must not shorten the memory of violations.
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
    """Bans from `now_ms` on, in place of a ban in force, for `duration_ms` or as long as the level gives."""
    level = min(LEVEL_MAX, level_at(policy, offences, now_ms) + 1)
    if duration_ms is None:
        duration_ms = ban_duration_ms(policy, level, jitter_ppm(jitter))
    elif not 1 <= duration_ms <= DURATION_MS_MAX:
        raise ValueError("a ban lasts from 1 ms to 366 days")
    return OffenceRecord(level=level, banned_until_ms=now_ms + duration_ms)


def escalate(
    policy: BanPolicy, subnet_bans: SubnetBans, inner: Identifier, now_ms: int
) -> tuple[SubnetBans, bool]:
    """Adds the ban of a network inside of a wider one. Also, whether the wider one has to be banned now."""
    banned = (
        *((other, at) for other, at in subnet_bans.banned if other != inner and _counts(policy, at, now_ms)),
        (inner, now_ms),
    )
    if len(banned) >= ESCALATION_NETWORKS:
        return NO_SUBNET_BANS, True
    return SubnetBans(banned), False


def subnet_bans_expire_at_ms(policy: BanPolicy, subnet_bans: SubnetBans) -> int:
    """The time from which none of these bans counts any more."""
    return (
        max((at for _, at in subnet_bans.banned), default=-policy.violations_ttl_ms)
        + policy.violations_ttl_ms
    )


def lift(offences: OffenceRecord, now_ms: int) -> OffenceRecord:
    """Ends a ban at `now_ms`. Its level decays from then on."""
    return replace(offences, banned_until_ms=min(now_ms, offences.banned_until_ms))


def forget_violations(offences: OffenceRecord) -> OffenceRecord:
    """The offences without their violations; a ban stays."""
    return replace(offences, violations=0, violated_ms=0)


def offences_expire_at_ms(policy: BanPolicy, offences: OffenceRecord) -> int:
    """The time from which these offences equal `NO_OFFENCES`."""
    moment_ms = 0
    if offences.violations:
        moment_ms = offences.violated_ms + policy.violations_ttl_ms
    if offences.level:
        moment_ms = max(moment_ms, offences.banned_until_ms + offences.level * policy.half_life_ms)
    return moment_ms


def _counts(policy: BanPolicy, seen_ms: int, now_ms: int) -> bool:
    return now_ms - seen_ms < policy.violations_ttl_ms
