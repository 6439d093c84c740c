"""Who is charged, what is remembered locally, and what happens when the limiter is away or forgets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

import pytest

from adapters.memory.audit import MemoryAuditLog
from adapters.memory.limiter import MemoryLimiter
from adapters.memory.metrics import MemoryMetrics
from adapters.memory.sessions import MemorySessions
from adapters.memory.users import MemoryUsers
from adapters.runtime.simulated_runtime import SimulatedRuntime
from application import rate_limiter
from application.rate_limiter import (
    DENIED_AGE_S_MAX,
    DENIED_MAX,
    RESTORE_INTERVAL_S_MIN,
    LimitPolicies,
    RateLimiter,
)
from application.sessions import REVOCATION_MS
from domain.admission import Admission, Charge, Verdict
from domain.audit import AuditAction, AuditEvent
from domain.bans import BanPolicy
from domain.identifiers import Identifier, IdentifierType
from domain.ratelimit import Algorithm, Policy
from domain.sessions import Session, SessionPolicy, open_session
from domain.users import Role, User
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime
from tests.conformance.runtimes import Driver, run

__all__ = ["run"]

START_MS = 1_800_000_000_000


class RuntimeClock:
    """Wall-clock time that goes with the runtime's: virtual on the simulated one."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._started_s = runtime.monotonic()

    def now_ms(self) -> int:
        return START_MS + round((self._runtime.monotonic() - self._started_s) * 1000)


class HalfEntropy:
    def token(self, size: int) -> bytes:
        return b"\x7f" + b"\xff" * (size - 1)


class WatchedLimiter(MemoryLimiter):
    """Notes what it is asked; can be away, and can have forgotten its revocations."""

    def __init__(self, *, clock: RuntimeClock) -> None:
        super().__init__(clock=clock, ban_policy=BanPolicy())
        self.asked: list[tuple[list[str], str | None, float]] = []
        self.is_away = False
        self.has_forgotten = False
        self.restored: list[dict[str, int]] = []
        self.amid_restore: Callable[[], Awaitable[None]] | None = None

    async def decide(self, charges: Sequence[Charge], *, session: str | None, jitter: float) -> Admission:
        names = [f"{charge.identifier.type.value}:{charge.policy.name}" for charge in charges]
        self.asked.append((names, session, jitter))
        if self.is_away:
            raise DependencyUnavailable("redis")
        admission = await super().decide(charges, session=session, jitter=jitter)
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
    clock: RuntimeClock = field(init=False)
    limiter: WatchedLimiter = field(init=False)
    metrics: MemoryMetrics = field(init=False)
    sessions: WatchedSessions = field(init=False)
    users: MemoryUsers = field(init=False)
    rates: RateLimiter = field(init=False)

    def __post_init__(self) -> None:
        audit = MemoryAuditLog()
        self.clock = RuntimeClock(self.runtime)
        self.limiter = WatchedLimiter(clock=self.clock)
        self.metrics = MemoryMetrics()
        self.users = MemoryUsers(audit=audit)
        self.sessions = WatchedSessions(users=self.users, audit=audit)
        self.rates = RateLimiter(
            limiter=self.limiter,
            fallback=MemoryLimiter(clock=self.clock, ban_policy=BanPolicy()),
            policies=LimitPolicies(
                ip=_policy("ip", self.ip),
                user=_policy("user", 100),
                api_key=_policy("api_key", 100),
                named={"login": _policy("login", 2)},
            ),
            sessions=self.sessions,
            runtime=self.runtime,
            clock=self.clock,
            entropy=HalfEntropy(),
            metrics=self.metrics,
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
        assert await self.sessions.add(session, _event(AuditAction.SESSION_OPENED, now_ms))
        return session

    async def end(self, session: Session) -> None:
        now_ms = self.clock.now_ms()
        event = _event(AuditAction.SESSION_REVOKED, now_ms)
        await self.sessions.revoke(session.id, now_ms=now_ms, event=event)

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


@pytest.mark.parametrize(
    ("names", "charged", "session"),
    [
        ({}, ["ip:ip"], None),
        ({"user_id": "u", "session_id": "s"}, ["user:user", "ip:ip"], "s"),
        ({"api_key_id": "k"}, ["api_key:api_key"], "k"),
        ({"policies": ("login",)}, ["ip:ip", "ip:login"], None),
        ({"api_key_id": "k", "policies": ("login",)}, ["api_key:api_key", "ip:login"], "k"),
    ],
)
def test_the_verified_are_charged_by_name_and_everybody_else_by_address(
    run: Driver, names: dict[str, object], charged: list[str], session: str | None
) -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        await bench.rates.admit(address="203.0.113.9", **names)  # type: ignore[arg-type] # one table for all
        ((asked, about, jitter),) = bench.limiter.asked
        assert (asked, about) == (charged, session)
        assert 0 <= jitter <= 0.1

    run(body)


def test_an_exempt_address_is_asked_about_its_session_only(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        assert (await bench.rates.admit(address=None, policies=("login",))).verdict is Verdict.ALLOWED
        assert bench.limiter.asked == []
        await bench.rates.revoke_session("s", ttl_ms=1000)
        admission = await bench.rates.admit(address=None, user_id="u", session_id="s")
        assert admission.verdict is Verdict.REVOKED

    run(body)


def test_an_account_name_is_counted_but_never_banned(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        verdicts = [(await bench.rates.admit_account_name("login", "ada")).verdict for _ in range(20)]
        assert verdicts == [Verdict.ALLOWED] * 2 + [Verdict.QUOTA_EXCEEDED] * 18
        assert (await bench.rates.admit_account_name("unknown", "ada")).verdict is Verdict.ALLOWED

    run(body)


def test_a_ban_is_remembered_here_for_a_few_seconds_only() -> None:
    """On the simulated runtime: seconds pass at once."""

    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime, ip=1)
        while await bench.verdict() is not Verdict.BANNED:
            pass
        asked = len(bench.limiter.asked)
        await runtime.sleep(DENIED_AGE_S_MAX - 0.1)
        assert await bench.verdict() is Verdict.BANNED
        assert len(bench.limiter.asked) == asked
        # Lifted elsewhere: this process learns of it when its memory is too old to be believed.
        await bench.limiter.lift(Identifier(IdentifierType.IP, "203.0.113.9"))
        await runtime.sleep(0.1)
        assert await bench.verdict() is not Verdict.BANNED
        assert len(bench.limiter.asked) == asked + 1

    _simulated(body)


def test_a_remembered_ban_tells_what_is_left_of_it() -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime, ip=1)
        while await bench.verdict() is not Verdict.BANNED:
            pass
        before = await bench.rates.admit(address="203.0.113.9")
        await runtime.sleep(2)
        after = await bench.rates.admit(address="203.0.113.9")
        assert before.retry_after_ms - after.retry_after_ms == pytest.approx(2000, abs=2)

    _simulated(body)


def test_the_memory_of_bans_is_bounded(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        for number in range(DENIED_MAX + 50):
            bench.rates._remember(
                Admission(Verdict.BANNED, 60_000, Identifier(IdentifierType.IP, str(number)))
            )
        assert len(bench.rates._denied) == DENIED_MAX
        # The oldest went first.
        assert await bench.verdict(address="0") is Verdict.ALLOWED
        assert await bench.verdict(address=str(DENIED_MAX + 49)) is Verdict.BANNED

    run(body)


def test_without_the_limiter_who_must_not_guess_is_refused(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        bench.limiter.is_away = True
        with pytest.raises(DependencyUnavailable):
            await bench.rates.admit(address="203.0.113.9", fail_closed=True)
        with pytest.raises(DependencyUnavailable):
            await bench.rates.admit_account_name("login", "ada")
        assert await bench.verdict() is Verdict.ALLOWED

    run(body)


def test_an_outage_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        bench.limiter.is_away = True
        for _ in range(130):
            await bench.verdict()
            await runtime.sleep(1)

    _simulated(body)
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 3


def test_a_limiter_that_forgot_is_told_again_and_nobody_slips_through_meanwhile(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        ended, active = await bench.open_session("ada"), await bench.open_session("bob")
        await bench.end(ended)
        bench.limiter.has_forgotten = True
        assert await bench.verdict(session=ended.id) is Verdict.REVOKED
        assert await bench.verdict(session=active.id) is Verdict.ALLOWED
        assert await bench.verdict(session="ses_unknown") is Verdict.REVOKED
        while not bench.limiter.restored:
            await runtime.sleep(0.001)
        assert bench.limiter.restored == [{ended.id: REVOCATION_MS}]
        assert await bench.verdict(session=ended.id) is Verdict.REVOKED

    run(body)


def test_a_revocation_that_the_limiter_missed_is_caught_up(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        session = await bench.open_session("ada")
        await bench.end_unheard(session)
        assert await bench.verdict(session=session.id) is Verdict.REVOKED
        while not bench.limiter.restored:
            await runtime.sleep(0.001)
        # From now on the limiter knows by itself.
        admission = await bench.limiter.decide([], session=session.id, jitter=0.0)
        assert admission.verdict is Verdict.REVOKED

    run(body)


def test_a_revocation_missed_while_another_is_restored_is_not_forgotten() -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        first, second = await bench.open_session("ada"), await bench.open_session("bob")

        async def amid() -> None:
            await bench.end_unheard(second)
            # The first is read but not yet told: nobody slips through in between.
            assert await bench.verdict(session=first.id) is Verdict.REVOKED

        bench.limiter.amid_restore = amid
        await bench.end_unheard(first)
        assert await bench.verdict(session=first.id) is Verdict.REVOKED
        while not bench.limiter.restored:
            await runtime.sleep(0.001)
        assert bench.limiter.restored == [{first.id: REVOCATION_MS}]
        assert await bench.verdict(session=second.id) is Verdict.REVOKED
        while len(bench.limiter.restored) == 1:
            await runtime.sleep(1)
            await bench.verdict(session=second.id)
        assert second.id in bench.limiter.restored[1]

    _simulated(body)


def test_too_many_revocations_are_neither_read_nor_warned_of_at_each_request(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rate_limiter, "RESTORED_MAX", 2)
    requests, apart_s = 100, 1.0

    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        ended = [await bench.open_session(name) for name in ("ada", "bob")]
        for session in ended:
            await bench.end(session)
        bench.limiter.has_forgotten = True
        for _ in range(requests):
            assert await bench.verdict(session=ended[0].id) is Verdict.REVOKED
            await runtime.sleep(apart_s)
        assert 2 <= bench.sessions.reads <= requests * apart_s / RESTORE_INTERVAL_S_MIN + 1
        assert bench.limiter.restored == []

    _simulated(body)
    assert len(caplog.records) == 2


def test_an_address_is_blamed_for_what_was_seen_elsewhere(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        for _ in range(5):
            await bench.rates.violate_address("203.0.113.9")
        assert await bench.verdict() is Verdict.ALLOWED
        await bench.rates.violate_address("203.0.113.9")
        assert await bench.verdict() is Verdict.BANNED
        assert bench.metrics.value("credit_bans_total", "ip") == 1

    run(body)


def _simulated(body: Callable[[Runtime], Awaitable[None]]) -> None:
    runtime = SimulatedRuntime(7)

    async def main() -> None:
        async with runtime.running():
            await body(runtime)

    runtime.run(main)
