"""Bans and limits as administrators see and change them. Every change is audited."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from application.audit.trail import AuditTrail
from application.call_log import traced
from application.limits.rate_limiter import BANS, RateLimiter
from application.recurring import Recurring
from domain.addresses import Network, network_identity_of, parse_address
from domain.audit import AuditAction, RequestContext, audit_event
from domain.idempotency import RememberedAnswer
from domain.ids import RANDOMNESS_BYTES
from domain.limits.bans import DURATION_MS_MAX, JITTER_BYTES, Ban, jitter_from
from domain.limits.identifiers import Identifier, IdentifierType
from domain.limits.windows import Policy
from ports.clock import Clock
from ports.entropy import Entropy
from ports.idempotency import IdempotencyStore
from ports.limits.limiter import BanPosition, Limiter
from ports.metrics import Merge, Metric, MetricKind, Metrics
from ports.runtime import UNAVAILABLE, Runtime

REASON_LENGTH_MAX = 200
BAN_SECONDS_MAX = DURATION_MS_MAX // 1000
MEASURE_INTERVAL_S = 5.0

BANS_ACTIVE = Metric(
    "credit_bans_active", MetricKind.GAUGE, "Bans in force, of all workers together", merge=Merge.NEWEST
)

REASON_RULE = f"one line of 1 to {REASON_LENGTH_MAX} characters"

BAN_CURSOR = re.compile(r"([0-9]{1,15})\.([\x21-\x7e]{1,400})")


def is_reason(text: str) -> bool:
    """Whether a text can be the reason of a ban: `REASON_RULE`."""
    return bool(text.strip()) and len(text) <= REASON_LENGTH_MAX and text.isprintable()


class BanRejection(Enum):
    """Why an identifier was not banned, in order of precedence."""

    NOT_BANNABLE = "account names are counted, never banned: anybody can type one"
    ALLOW_LISTED = "this address is allow-listed, so a ban would change nothing"

    @property
    def field(self) -> str:
        """The input that the rejection is about."""
        return "type" if self is BanRejection.NOT_BANNABLE else "identifier"


@dataclass(frozen=True, slots=True)
class WindowStanding:
    """One policy and the used part of its limit."""

    policy: Policy
    used: int

    @property
    def remaining(self) -> int:
        return max(0, self.policy.limit - self.used)


@dataclass(frozen=True, slots=True)
class Limits:
    """The windows, violations and ban of one identifier."""

    identifier: Identifier
    windows: tuple[WindowStanding, ...]
    violations: int
    ban: Ban | None


@dataclass(frozen=True, slots=True)
class BanList:
    """A page of bans in force, the last to end first. `next_cursor` is None on the last page."""

    items: tuple[Ban, ...]
    next_cursor: str | None


class Moderation:
    """Bans identifiers, lifts bans, and shows and clears limits.

    Every method raises `DependencyUnavailable` when the limiter is unavailable.

    An unavailable audit log delays no change: the event is written once the log is back.

    An `answer` is stored right after the change, since no transaction spans the limiter and the store of
    answers. When the process ends between the two, or that store is unavailable, the change is in force and
    the idempotency key unknown: a repeat is carried out again, and raises the level of a ban once more. So is
    a repeat that arrives before the first change is done; the later of the two then raises `AlreadyAnswered`,
    although it was carried out.
    """

    def __init__(
        self,
        *,
        limiter: Limiter,
        rate_limiter: RateLimiter,
        disconnect: Callable[[str], Awaitable[None]],
        answers: IdempotencyStore,
        trail: AuditTrail,
        allowlist: Sequence[Network],
        runtime: Runtime,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
    ) -> None:
        """`disconnect` closes the connections of a user, by id."""
        self._limiter = limiter
        self._rate_limiter = rate_limiter
        self._turn_out = disconnect
        self._answers = answers
        self._trail = trail
        self._allowlist = tuple(map(network_identity_of, allowlist))
        self._runtime = runtime
        self._clock = clock
        self._entropy = entropy
        self._bans = metrics.register(BANS)
        self._active = metrics.register(BANS_ACTIVE)
        self._measuring = Recurring(runtime, self._measure, name="bans-active")

    @traced
    async def is_banned(self, identifier: Identifier) -> Ban | None:
        """The ban of an identifier, or of its network, that is in force; None without one."""
        return (await self._limiter.status(identifier, ())).ban

    @traced
    async def ban(
        self,
        identifier: Identifier,
        *,
        seconds: int | None,
        reason: str,
        context: RequestContext,
        answer: Callable[[Ban], RememberedAnswer | None] | None = None,
    ) -> Ban | BanRejection:
        """Bans an identifier from now on, in place of a ban in force, and disconnects a banned user.

        Without `seconds` the ban lasts as long as its level gives. Raises `ValueError` for more than
        `BAN_SECONDS_MAX` or a text that is no reason (`is_reason`).
        """
        if not is_reason(reason):
            raise ValueError(f"a reason is {REASON_RULE}")
        if not identifier.type.bannable:
            return BanRejection.NOT_BANNABLE
        if self._is_allow_listed(identifier):
            return BanRejection.ALLOW_LISTED
        jitter = jitter_from(self._entropy.token(JITTER_BYTES))

        async def impose() -> Ban:
            ban = await self._limiter.ban(
                identifier,
                duration_ms=None if seconds is None else seconds * 1000,
                jitter=jitter,
                reason=reason,
            )
            self._bans.add(1, identifier.type.value)
            left_s = -(-(ban.until_ms - self._clock.now_ms()) // 1000)
            self._audit(AuditAction.BAN_ADDED, identifier, context, reason=reason, seconds=left_s)
            await self._remember(None if answer is None else answer(ban))
            if identifier.type is IdentifierType.USER:
                # The ban is in force: a connection that misses this ends with its next message.
                with suppress(*UNAVAILABLE):
                    await self._turn_out(identifier.value)
            return ban

        return await self._runtime.shielded(impose, name="ban")

    @traced
    async def unban(
        self, identifier: Identifier, context: RequestContext, *, answer: RememberedAnswer | None = None
    ) -> bool:
        """Lifts a ban; False when there is none. Other workers follow within 5 s."""

        async def lift() -> bool:
            lifted = await self._limiter.lift(identifier)
            await self._rate_limiter.lift_locally(identifier)
            if lifted:
                self._audit(AuditAction.BAN_LIFTED, identifier, context)
                await self._remember(answer)
            return lifted

        return await self._runtime.shielded(lift, name="lift-ban")

    @traced
    async def list_bans(self, *, limit: int, cursor: str | None = None) -> BanList | None:
        """A page of at most `limit` bans. None for a `cursor` that no page gave."""
        after = None
        if cursor is not None:
            match = BAN_CURSOR.fullmatch(cursor)
            if match is None:
                return None
            after = BanPosition(int(match[1]), match[2])
        page = await self._limiter.bans(limit=limit, after=after)
        place = page.next_position
        return BanList(page.items, None if place is None else f"{place.until_ms}.{place.name}")

    @traced
    async def get_limits(self, identifier: Identifier) -> Limits:
        """How an identifier stands in every window that counts its type, with its violations and its ban."""
        charges = self._rate_limiter.charges_of(identifier)
        status = await self._limiter.status(identifier, charges)
        windows = tuple(
            WindowStanding(charge.policy, used)
            for charge, (_, used) in zip(charges, status.windows, strict=True)
        )
        return Limits(identifier, windows, status.violations, status.ban)

    @traced
    async def clear_limits(
        self, identifier: Identifier, context: RequestContext, *, answer: RememberedAnswer | None = None
    ) -> None:
        """Forgets the windows and violations of an identifier. A ban stays until it is lifted."""

        async def clear() -> None:
            await self._limiter.clear(identifier, self._rate_limiter.charges_of(identifier))
            self._audit(AuditAction.LIMITS_CLEARED, identifier, context)
            await self._remember(answer)

        await self._runtime.shielded(clear, name="clear-limits")

    async def start(self) -> None:
        """Measures `credit_bans_active` from now on."""
        self._measuring.start()

    async def stop(self) -> None:
        """Returns once no measurement is under way."""
        await self._measuring.stop()

    async def _remember(self, answer: RememberedAnswer | None) -> None:
        if answer is None:
            return
        # The change is in force: an error would only make the caller repeat it.
        with suppress(*UNAVAILABLE):
            await self._answers.remember(answer)

    async def _measure(self) -> float:
        # While the limiter is unavailable, which others report, the gauge keeps its value.
        with suppress(*UNAVAILABLE):
            self._active.set(float(await self._limiter.bans_in_force()))
        return MEASURE_INTERVAL_S

    def _is_allow_listed(self, identifier: Identifier) -> bool:
        """Whether every address of the identifier is exempt. An IPv6 network may be exempt in part."""
        if identifier.type is not IdentifierType.IP:
            return False
        text, slash, bits = identifier.value.partition("/")
        address = parse_address(text)
        if address is None:
            return False
        prefix = int(bits) if slash else address.max_prefixlen
        return any(address in network and network.prefixlen <= prefix for network in self._allowlist)

    def _audit(
        self, action: AuditAction, identifier: Identifier, context: RequestContext, **detail: str | int
    ) -> None:
        self._trail.enqueue(
            audit_event(
                context,
                action,
                f"{identifier.type.value}:{identifier.value}",
                now_ms=self._clock.now_ms(),
                randomness=self._entropy.token(RANDOMNESS_BYTES),
                detail=detail,
            )
        )
