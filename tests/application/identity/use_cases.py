"""The use cases of identity over memory, with a clock that tests turn and a cheap password hash."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.crypto.argon2 import Argon2PasswordHasher
from adapters.crypto.sealing import AesGcmSealer
from adapters.crypto.token_keys import TokenKeyring
from adapters.memory.audit import MemoryAuditLog
from adapters.memory.identity.api_keys import MemoryApiKeys
from adapters.memory.identity.credential_store import MemoryCredentials
from adapters.memory.identity.login_failures import MemoryLoginFailures
from adapters.memory.identity.nonces import MemoryNonces
from adapters.memory.identity.sessions import MemorySessions
from adapters.memory.identity.users import MemoryUsers
from adapters.memory.limits.limiter import MemoryLimiter
from adapters.memory.metrics import MemoryMetrics
from adapters.runtime.system import SystemEntropy
from application.audit.trail import AuditTrail
from application.identity.api_keys import ApiKeyService
from application.identity.foreign_devices import ForeignDevices
from application.identity.login_throttle import LoginDelayed, LoginThrottle
from application.identity.sessions import LoginRejection, SessionService, TokenPair
from application.identity.tokens import TokenService
from application.identity.users import UserService
from domain.audit import AuditAction, AuditFilter, RequestContext
from domain.encryption.keyring import RingKey
from domain.identity.api_keys import ApiKey
from domain.identity.login_delay import DelayPolicy
from domain.identity.sessions import SessionPolicy
from domain.identity.tokens import Fingerprint
from domain.identity.users import User
from domain.limits.admission import Admission, Charge
from domain.limits.bans import BanPolicy
from domain.limits.identifiers import Identifier, IdentifierType
from domain.limits.windows import Algorithm, Policy
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime

START_MS = 1_800_000_000_000
PASSWORD = "correct horse battery"
RING = (RingKey("a root key that only these tests know"),)
CONTEXT = RequestContext(request_id="req-1", address="203.0.113.7", user_agent="suite", actor="anonymous")


class TurnedClock:
    def __init__(self) -> None:
        self.ms = START_MS

    def now_ms(self) -> int:
        return self.ms


class NotedRevocations:
    """What the limiter was told, in order; it can be away."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        self.away = False

    async def revoke_session(self, session: str, *, ttl_ms: int) -> None:
        if self.away:
            raise DependencyUnavailable("redis")
        self.told.append((session, ttl_ms))


class CountedNames:
    """The rate limiter as far as it counts names, by one rate for all policies."""

    def __init__(self, clock: TurnedClock, per_minute: int) -> None:
        self._limiter = MemoryLimiter(clock=clock, ban_policy=BanPolicy())
        self._per_minute = per_minute

    async def admit_account_name(self, policy: str, name: str) -> Admission:
        window = Policy(policy, self._per_minute, 60_000, Algorithm.SLIDING_WINDOW)
        charge = Charge(Identifier(IdentifierType.ACCOUNT_NAME, name), window)
        return await self._limiter.decide([charge], session=None, jitter=0.0)


class NotedBlames:
    """The addresses that were blamed, in order."""

    def __init__(self) -> None:
        self.addresses: list[str] = []

    async def violate_address(self, address: str) -> None:
        self.addresses.append(address)


class CountedHasher(Argon2PasswordHasher):
    """Counts what was checked: the real thing at a cost of nothing."""

    checked: int = 0

    async def verify(self, password: bytes, encoded: str | None) -> bool:
        self.checked += 1
        return await super().verify(password, encoded)


class CountedApiKeys(MemoryApiKeys):
    reads: int = 0

    async def get(self, key_id: str) -> ApiKey | None:
        self.reads += 1
        return await super().get(key_id)


POLICY = SessionPolicy()


@dataclass(frozen=True, slots=True)
class House:
    runtime: Runtime
    clock: TurnedClock
    audit: MemoryAuditLog
    users_kept: MemoryUsers
    sessions_kept: MemorySessions
    keys_kept: CountedApiKeys
    revocations: NotedRevocations
    passwords: CountedHasher
    tokens: TokenService
    devices: ForeignDevices
    blamed: NotedBlames
    users: UserService
    sessions: SessionService
    api_keys: ApiKeyService

    async def registered(self, name: str = "ada") -> User:
        user = await self.users.register(
            username=name, email=f"{name}@example.com", password=PASSWORD, context=CONTEXT
        )
        assert isinstance(user, User)
        return user

    async def logged_in(self, name: str = "ada", *, device_id: str | None = None) -> TokenPair:
        pair = await self.sessions.login(login=name, password=PASSWORD, device_id=device_id, context=CONTEXT)
        assert not isinstance(pair, LoginRejection | LoginDelayed)
        return pair

    async def actions(self) -> list[AuditAction]:
        page = await self.audit.find(AuditFilter(), limit=200, cursor=None)
        return sorted((event.action for event in page.items), key=list(AuditAction).index)


def build(
    runtime: Runtime,
    *,
    fingerprint: Fingerprint = Fingerprint.ENFORCE,
    logins_per_minute: int = 1_000,
    policy: SessionPolicy = POLICY,
) -> House:
    clock, entropy, audit, revocations = TurnedClock(), SystemEntropy(), MemoryAuditLog(), NotedRevocations()
    users = MemoryUsers(audit=audit)
    sessions = MemorySessions(users=users, audit=audit)
    keys = CountedApiKeys(users=users, audit=audit)
    passwords = CountedHasher(runtime=runtime, entropy=entropy, memory_kib=8, passes=1)
    keys_of_tokens = TokenKeyring(RING, clock=clock, refresh_lifetime_ms=14 * 86_400_000)
    tokens = TokenService(
        keys=keys_of_tokens,
        clock=clock,
        entropy=entropy,
        fingerprint=fingerprint,
    )
    blamed = NotedBlames()
    devices = ForeignDevices(
        trail=AuditTrail(log=audit, runtime=runtime),
        limiter=blamed,
        sessions=sessions,
        runtime=runtime,
        clock=clock,
        entropy=entropy,
        metrics=MemoryMetrics(),
    )
    failures = MemoryLoginFailures()
    names = CountedNames(clock, logins_per_minute)
    return House(
        runtime=runtime,
        clock=clock,
        audit=audit,
        users_kept=users,
        sessions_kept=sessions,
        keys_kept=keys,
        revocations=revocations,
        passwords=passwords,
        tokens=tokens,
        devices=devices,
        blamed=blamed,
        users=UserService(
            users=users,
            credentials=MemoryCredentials(users=users, sessions=sessions, api_keys=keys, audit=audit),
            revocations=revocations,
            limiter=names,
            passwords=passwords,
            common_passwords=frozenset({"password1", "qwertyuiop"}),
            runtime=runtime,
            clock=clock,
            entropy=entropy,
        ),
        sessions=SessionService(
            users=users,
            sessions=sessions,
            revocations=revocations,
            passwords=passwords,
            throttle=LoginThrottle(
                limiter=names,
                failures=failures,
                clock=clock,
                key=b"n" * 32,
                policy=DelayPolicy(free_failures=logins_per_minute, base_ms=60_000 // logins_per_minute),
            ),
            tokens=tokens,
            devices=devices,
            runtime=runtime,
            clock=clock,
            entropy=entropy,
            keys=keys_of_tokens,
            policy=policy,
        ),
        api_keys=ApiKeyService(
            keys=keys,
            nonces=MemoryNonces(clock=clock),
            sealer=AesGcmSealer(root_key=bytes(32), purpose="test", entropy=entropy),
            revocations=revocations,
            runtime=runtime,
            clock=clock,
            entropy=entropy,
        ),
    )
