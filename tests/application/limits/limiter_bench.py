"""A rate limiter over memory, on any runtime, whose limiter can be away or forgetful."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest

from adapters.memory.audit import MemoryAuditLog
from adapters.memory.identity.api_keys import MemoryApiKeys
from adapters.memory.identity.sessions import MemorySessions
from adapters.memory.identity.users import MemoryUsers
from adapters.memory.limits.limiter import MemoryLimiter
from adapters.memory.metrics import MemoryMetrics
from application.audit.trail import AuditTrail
from application.identity.revocation_watch import RecentlyRevoked
from application.identity.revocations import REVOCATION_MS
from application.limits.rate_limiter import (
    LimitPolicies,
    RateLimiter,
)
from domain.audit import AuditAction, AuditEvent
from domain.identity.sessions import Session, SessionPolicy, open_session
from domain.identity.users import Role, User
from domain.limits.admission import Admission, Charge, Verdict
from domain.limits.bans import BanPolicy
from domain.limits.windows import Algorithm, Policy
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime
from tests.simulation.runtime.simulated_runtime import SimulatedRuntime

JITTER_BYTES = 2
START_MS = 1_800_000_000_000


class RuntimeClock:
    """Wall-clock time that goes with the runtime's: virtual on the simulated one."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._started_s = runtime.monotonic()

    def now_ms(self) -> int:
        return START_MS + round((self._runtime.monotonic() - self._started_s) * 1000)


class HalfEntropy:
    """Jitters are always the half; ids, which take more bytes, are all different."""

    def __init__(self) -> None:
        self._ids = 0

    def token(self, size: int) -> bytes:
        if size == JITTER_BYTES:
            return b"\x7f\xff"
        self._ids += 1
        return self._ids.to_bytes(size, "big")


class WatchedLimiter(MemoryLimiter):
    """Notes what it is asked; can be away, and can have forgotten its revocations."""

    def __init__(self, *, clock: RuntimeClock) -> None:
        super().__init__(clock=clock, ban_policy=BanPolicy())
        self.asked: list[tuple[list[str], str | None, float]] = []
        self.is_away = False
        self.has_forgotten = False
        self.restored: list[dict[str, int]] = []
        self.amid_restore: Callable[[], Awaitable[None]] | None = None
        self.amid_answer: Callable[[], Awaitable[None]] | None = None

    async def decide(self, charges: Sequence[Charge], *, session: str | None, jitter: float) -> Admission:
        names = [f"{charge.identifier.type.value}:{charge.policy.name}" for charge in charges]
        self.asked.append((names, session, jitter))
        if self.is_away:
            raise DependencyUnavailable("redis")
        admission = await super().decide(charges, session=session, jitter=jitter)
        amid, self.amid_answer = self.amid_answer, None
        if amid is not None:
            await amid()
        if self.has_forgotten:
            return Admission(admission.verdict, standings=admission.standings, revocations_known=False)
        return admission

    async def revoke_session(self, session: str, *, ttl_ms: int) -> None:
        if self.is_away:
            raise DependencyUnavailable("redis")
        await super().revoke_session(session, ttl_ms=ttl_ms)

    async def restore_revocations(self, sessions: object) -> None:
        assert isinstance(sessions, dict)
        if self.is_away:
            raise DependencyUnavailable("redis")
        amid, self.amid_restore = self.amid_restore, None
        if amid is not None:
            await amid()
        self.restored.append(sessions)
        self.has_forgotten = False
        await super().restore_revocations(sessions)


class WatchedSessions(MemorySessions):
    """Counts how often it is asked for what was revoked."""

    reads = 0

    async def revoked_since(self, since_ms: int, *, limit: int) -> Sequence[str]:
        self.reads += 1
        return await super().revoked_since(since_ms, limit=limit)


@dataclass(slots=True)
class Bench:
    runtime: Runtime
    ip: int = 100
    audit: MemoryAuditLog = field(init=False)
    clock: RuntimeClock = field(init=False)
    limiter: WatchedLimiter = field(init=False)
    metrics: MemoryMetrics = field(init=False)
    sessions: WatchedSessions = field(init=False)
    api_keys: MemoryApiKeys = field(init=False)
    users: MemoryUsers = field(init=False)
    trail: AuditTrail = field(init=False)
    ended: RecentlyRevoked = field(init=False)
    rates: RateLimiter = field(init=False)

    def __post_init__(self) -> None:
        self.audit = audit = MemoryAuditLog()
        self.clock = RuntimeClock(self.runtime)
        self.limiter = WatchedLimiter(clock=self.clock)
        self.metrics = MemoryMetrics()
        self.users = MemoryUsers(audit=audit)
        self.sessions = WatchedSessions(users=self.users, audit=audit)
        self.api_keys = MemoryApiKeys(users=self.users, audit=audit)
        self.trail = AuditTrail(log=self.audit, runtime=self.runtime)
        self.ended = RecentlyRevoked(self.runtime)
        self.rates = RateLimiter(
            limiter=self.limiter,
            fallback=MemoryLimiter(clock=self.clock, ban_policy=BanPolicy()),
            policies=LimitPolicies(
                ip=_policy("ip", self.ip),
                user=_policy("user", 100),
                api_key=_policy("api_key", 100),
                errors=_policy("errors", 3),
                messages=_policy("messages", 100),
                named={"login": _policy("login", 2)},
            ),
            sessions=self.sessions,
            api_keys=self.api_keys,
            runtime=self.runtime,
            clock=self.clock,
            entropy=HalfEntropy(),
            metrics=self.metrics,
            trail=self.trail,
            revoked=self.ended,
            revocations=self.limiter,
        )

    async def open_session(self, name: str) -> Session:
        now_ms = self.clock.now_ms()
        user = User(f"usr_{name}", name, f"{name}@example.com", frozenset({Role.USER}), "hash", now_ms)
        await self.users.add(user, _event(AuditAction.USER_REGISTERED, now_ms))
        session = open_session(
            id=f"ses_{name}",
            user_id=user.id,
            device_id="device-0123456789",
            credential_version=1,
            address="",
            user_agent="",
            now_ms=now_ms,
            policy=SessionPolicy(),
        )
        opened = _event(AuditAction.SESSION_OPENED, now_ms)
        added = await self.sessions.add(session, opened, per_user_max=20, end_event=lambda _: opened)
        assert added == ()
        return session

    async def end(self, session: Session) -> None:
        now_ms = self.clock.now_ms()
        event = _event(AuditAction.SESSION_ENDED, now_ms)
        await self.sessions.revoke(session.id, now_ms=now_ms, events=[event])

    async def end_unheard(self, session: Session) -> None:
        """Ends it while the limiter is away."""
        await self.end(session)
        self.limiter.is_away = True
        with pytest.raises(DependencyUnavailable):
            await self.rates.revoke_session(session.id, ttl_ms=REVOCATION_MS)
        self.limiter.is_away = False

    async def verdict(self, *, session: str | None = None, address: str = "203.0.113.9") -> Verdict:
        user = None if session is None else "usr_1"
        return (await self.rates.admit(address=address, user_id=user, session_id=session)).verdict


def _policy(name: str, limit: int) -> Policy:
    return Policy(name, limit, 60_000, Algorithm.FIXED_WINDOW)


def _event(action: AuditAction, now_ms: int) -> AuditEvent:
    return AuditEvent(id=f"evt_{now_ms}", at_ms=now_ms, actor="system", action=action, resource="test")


def simulated(body: Callable[[Runtime], Awaitable[None]]) -> None:
    """Seconds pass at once."""
    runtime = SimulatedRuntime(7)

    async def main() -> None:
        async with runtime.running():
            await body(runtime)

    runtime.run(main)
