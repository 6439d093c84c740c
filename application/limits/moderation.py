"""What administrators do about bans and limits; every change stands in the audit log."""

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
from domain.limits.bans import DURATION_MS_MAX, JITTER_MAX, Ban
from domain.limits.identifiers import Identifier, IdentifierType
from domain.limits.windows import Policy
from ports.clock import Clock
from ports.entropy import Entropy
from ports.errors import DependencyUnavailable
from ports.idempotency import IdempotencyStore
from ports.limits.limiter import BanPosition, Limiter
from ports.metrics import Merge, Metric, MetricKind, Metrics
from ports.runtime import DeadlineExceeded, Overloaded, Runtime

REASON_LENGTH_MAX = 200
BAN_SECONDS_MAX = DURATION_MS_MAX // 1000
MEASURE_INTERVAL_S = 5.0

BANS_ACTIVE = Metric(
    "credit_bans_active", MetricKind.GAUGE, "Bans in force, of all workers together", merge=Merge.NEWEST
)

REASON_RULE = f"one line of 1 to {REASON_LENGTH_MAX} characters"

BAN_CURSOR = re.compile(r"([0-9]{1,15})\.([\x21-\x7e]{1,400})")


def is_reason(text: str) -> bool:
    """Whether it can stand in a list with one line a ban, and says anything; see `REASON_RULE`."""
    return bool(text.strip()) and len(text) <= REASON_LENGTH_MAX and text.isprintable()


class BanRejection(Enum):
    """Why nobody was banned, in order of precedence."""

    NOT_BANNABLE = "account names are counted, never banned: anybody can type one"
    ALLOW_LISTED = "this address is allow-listed, so a ban would change nothing"

    @property
    def field(self) -> str:
        return "type" if self is BanRejection.NOT_BANNABLE else "identifier"


@dataclass(frozen=True, slots=True)
class WindowStanding:
    """How much of one policy is used up."""

    policy: Policy
    used: int

    @property
    def remaining(self) -> int:
        return max(0, self.policy.limit - self.used)


@dataclass(frozen=True, slots=True)
class Limits:
    """Everything that is known of one identifier now."""

    identifier: Identifier
    windows: tuple[WindowStanding, ...]
    violations: int
    ban: Ban | None


@dataclass(frozen=True, slots=True)
class BanList:
    """Bans in force, those that end last first."""

    items: tuple[Ban, ...]
    next_cursor: str | None


class Moderation:
    """Raises `DependencyUnavailable` when the limiter is away.

    An audit log that is away holds up no ban: its event is written as soon as it is back.

    What is given as `answer` is remembered right after the change: no transaction spans the limiter and the
    store of answers. If the process ends between the two, or that store is away just then, the change is in
    force and the key unknown, so a repeat is carried out again, and a ban goes up one level more. So it does
    when it is sent before the first is done; what is remembered later raises `AlreadyAnswered`, though it
    was carried out.
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
        """The ban in force."""
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
        """From now on, in place of a ban in force; without `seconds` for as long as its level gives.

        Raises ValueError for more than `BAN_SECONDS_MAX` or what is no reason.
        """
        if not is_reason(reason):
            raise ValueError(f"a reason is {REASON_RULE}")
        if not identifier.type.bannable:
            return BanRejection.NOT_BANNABLE
        if self._is_allow_listed(identifier):
            return BanRejection.ALLOW_LISTED
        random = int.from_bytes(self._entropy.token(2), "big") / 0xFFFF

        async def impose() -> Ban:
            ban = await self._limiter.ban(
                identifier,
                duration_ms=None if seconds is None else seconds * 1000,
                jitter=random * JITTER_MAX,
                reason=reason,
            )
            self._bans.add(1, identifier.type.value)
            left_s = -(-(ban.until_ms - self._clock.now_ms()) // 1000)
            self._note(AuditAction.BAN_ADDED, identifier, context, reason=reason, seconds=left_s)
            await self._remember(None if answer is None else answer(ban))
            if identifier.type is IdentifierType.USER:
                # The ban is in force: a connection that does not hear of it ends with its next message.
                with suppress(DependencyUnavailable, DeadlineExceeded, Overloaded):
                    await self._turn_out(identifier.value)
            return ban

        return await self._runtime.shielded(impose, name="ban")

    @traced
    async def unban(
        self, identifier: Identifier, context: RequestContext, *, answer: RememberedAnswer | None = None
    ) -> bool:
        """False when there was no ban. Other workers let the identifier in within 5 s, this one now."""

        async def lift() -> bool:
            lifted = await self._limiter.lift(identifier)
            await self._rate_limiter.lift_locally(identifier)
            if lifted:
                self._note(AuditAction.BAN_LIFTED, identifier, context)
                await self._remember(answer)
            return lifted

        return await self._runtime.shielded(lift, name="lift-ban")

    @traced
    async def list_bans(self, *, limit: int, cursor: str | None = None) -> BanList | None:
        """None for a cursor that is not one of ours."""
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
        """Forgets windows and violations; a ban stays until it is lifted."""

        async def clear() -> None:
            await self._limiter.clear(identifier, self._rate_limiter.charges_of(identifier))
            self._note(AuditAction.LIMITS_CLEARED, identifier, context)
            await self._remember(answer)

        await self._runtime.shielded(clear, name="clear-limits")

    async def start(self) -> None:
        """Keeps `credit_bans_active` fresh from here on."""
        self._measuring.start()

    async def stop(self) -> None:
        """Returns when the limiter is not being asked."""
        await self._measuring.stop()

    async def _remember(self, answer: RememberedAnswer | None) -> None:
        if answer is None:
            return
        # The change is in force: a refusal would only make the caller send it again.
        with suppress(DependencyUnavailable, DeadlineExceeded, Overloaded):
            await self._answers.remember(answer)

    async def _measure(self) -> float:
        # Otherwise the last known number stands; that the limiter is away is said elsewhere.
        with suppress(DependencyUnavailable, DeadlineExceeded, Overloaded):
            self._active.set(float(await self._limiter.bans_in_force()))
        return MEASURE_INTERVAL_S

    def _is_allow_listed(self, identifier: Identifier) -> bool:
        """Whether nobody of the identifier could be refused: part of an IPv6 network may be exempt."""
        if identifier.type is not IdentifierType.IP:
            return False
        text, slash, bits = identifier.value.partition("/")
        address = parse_address(text)
        if address is None:
            return False
        prefix = int(bits) if slash else address.max_prefixlen
        return any(address in network and network.prefixlen <= prefix for network in self._allowlist)

    def _note(
        self, action: AuditAction, identifier: Identifier, context: RequestContext, **detail: str | int
    ) -> None:
        self._trail.note(
            audit_event(
                context,
                action,
                f"{identifier.type.value}:{identifier.value}",
                now_ms=self._clock.now_ms(),
                randomness=self._entropy.token(RANDOMNESS_BYTES),
                detail=detail,
            )
        )
