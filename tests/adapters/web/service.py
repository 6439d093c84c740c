"""A whole service over the memory adapters: what composition builds, in a test's hands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from quart import Quart
from quart_trio import QuartTrio

from adapters.asgi.client_address import AddressRules
from adapters.asgi.credential_verifier import CredentialVerifier
from adapters.asgi.types import Receive, Scope, Send
from adapters.crypto.argon2 import Argon2PasswordHasher
from adapters.crypto.sealing import AesGcmSealer
from adapters.crypto.token_keys import TokenKeyring
from adapters.memory.audit import MemoryAuditLog
from adapters.memory.documents.cache import MemoryCache
from adapters.memory.documents.document_store import MemoryDocuments
from adapters.memory.idempotency import MemoryIdempotencyStore
from adapters.memory.identity.api_keys import MemoryApiKeys
from adapters.memory.identity.credential_store import MemoryCredentials
from adapters.memory.identity.login_failures import MemoryLoginFailures
from adapters.memory.identity.nonces import MemoryNonces
from adapters.memory.identity.sessions import MemorySessions
from adapters.memory.identity.users import MemoryUsers
from adapters.memory.limits.limiter import MemoryLimiter
from adapters.memory.metrics import MemoryMetrics
from adapters.runtime.system import SystemEntropy
from adapters.web.app import create_app
from adapters.web.cors import Cors
from adapters.web.guard import Guard
from adapters.web.http_metrics import HttpMetrics
from adapters.web.operator_routes import OperatorRoutes
from adapters.web.readiness import Readiness
from adapters.web.route_table import RouteTable
from application.audit.trail import AuditTrail
from application.documents.service import DocumentService
from application.idempotency import Idempotency
from application.identity.api_keys import ApiKeyService, CreatedApiKey
from application.identity.bearer_tokens import BearerTokens
from application.identity.foreign_devices import ForeignDevices
from application.identity.login_throttle import LoginThrottle
from application.identity.revocation_watch import RecentlyRevoked
from application.identity.sessions import SessionService
from application.identity.tokens import TokenService
from application.identity.users import UserService
from application.limits.rate_limiter import LimitPolicies, RateLimiter
from credit_system import Route
from domain.addresses import Network
from domain.audit import SYSTEM, RequestContext
from domain.encryption.keyring import RingKey
from domain.identity.api_keys import Scope as KeyScope
from domain.identity.login_delay import DelayPolicy
from domain.identity.tokens import Fingerprint, SigningAlgorithm
from domain.limits.admission import Admission, Charge
from domain.limits.bans import BanPolicy
from domain.limits.windows import Algorithm, Policy, parse_policy_rate
from plugins.main.plugin import MainPlugin
from ports.errors import DependencyUnavailable
from ports.health import Probe
from ports.runtime import Runtime
from tests.adapters.web.client import Client
from tests.plugins.plugin_context import Context, Hook

START_MS = 1_800_000_000_000
PASSWORD = "correct horse battery"
RING = (RingKey("a root key that only these tests know"),)
SYSTEM_CONTEXT = RequestContext(request_id="test", actor=SYSTEM)


class AdjustableClock:
    def __init__(self) -> None:
        self.at_ms = START_MS

    def now_ms(self) -> int:
        return self.at_ms


class SwitchedLimiter(MemoryLimiter):
    """The memory limiter, which can be away, and counts how often it was asked."""

    is_away = False
    decisions = 0

    async def decide(self, charges: Sequence[Charge], *, session: str | None, jitter: float) -> Admission:
        self.decisions += 1
        if self.is_away:
            raise DependencyUnavailable("redis", "switched off")
        return await super().decide(charges, session=session, jitter=jitter)


@dataclass(frozen=True, slots=True)
class Options:
    """What a test may want otherwise. The limits are out of the way unless it does."""

    ip: str = "1000/60s"
    user: str = "1000/1h"
    api_key: str = "1000/60s"
    login: str = "1000/60s"
    register: str = "1000/60s"
    refresh: str = "1000/60s"
    password: str = "1000/60s"
    errors: str = "1000/60s"
    windows: Algorithm = Algorithm.FIXED_WINDOW
    messages: str = "1000/60s"
    routes: Sequence[Route] = ()
    trusted_proxies: Sequence[Network] = ()
    allowlist: Sequence[Network] = ()
    origins: Sequence[str] = ()
    probes: Sequence[Probe] = ()
    metrics_token: str | None = None
    fingerprint: Fingerprint = Fingerprint.ENFORCE
    algorithm: SigningAlgorithm = SigningAlgorithm.HS256
    body_bytes_max: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class TestService:
    __test__ = False

    guard: Guard
    client: Client
    clock: AdjustableClock
    limiter: SwitchedLimiter
    metrics: MemoryMetrics
    users: UserService
    answers: MemoryIdempotencyStore
    sessions: SessionService
    api_keys: ApiKeyService
    runtime: Runtime
    modules: dict[str, object]
    hooks: list[Hook]
    rate_limiter: RateLimiter

    async def key(self, *scopes: KeyScope, require_signature: bool = False) -> CreatedApiKey:
        created = await self.api_keys.create(
            name="key",
            scopes=frozenset(scopes),
            require_signature=require_signature,
            context=SYSTEM_CONTEXT,
        )
        assert isinstance(created, CreatedApiKey)
        return created

    async def register(self, username: str = "ada") -> dict[str, str]:
        reply = await self.client.request(
            "POST",
            "/auth/register",
            json={"username": username, "email": f"{username}@example.com", "password": PASSWORD},
        )
        assert reply.status == 201, reply
        user: dict[str, str] = reply.json()
        return user

    async def login(self, username: str = "ada", *, register: bool = True) -> dict[str, str]:
        """The headers of a logged-in client."""
        if register:
            await self.register(username)
        reply = await self.client.request(
            "POST", "/auth/login", json={"username": username, "password": PASSWORD}
        )
        assert reply.status == 200, reply
        tokens = reply.json()
        return {
            "Authorization": f"Bearer {tokens['access_token']}",
            "X-Device-Id": tokens["device_id"],
        }


def policy(name: str, rate: str, algorithm: Algorithm = Algorithm.FIXED_WINDOW) -> Policy:
    """Fixed windows, aligned to `START_MS`: what remains is plain to see."""
    limit, period_ms = parse_policy_rate(rate)
    return Policy(name, limit, period_ms, algorithm)


def ban_policy() -> BanPolicy:
    return BanPolicy(
        threshold=5, base_ms=60_000, max_ms=86_400_000, half_life_ms=86_400_000, violations_ttl_ms=3_600_000
    )


def open_service(runtime: Runtime, options: Options | None = None) -> TestService:
    """Nothing here needs stopping."""
    options = options or Options()
    clock, entropy, metrics, audit = AdjustableClock(), SystemEntropy(), MemoryMetrics(), MemoryAuditLog()
    limiter = SwitchedLimiter(clock=clock, ban_policy=ban_policy())
    answers = MemoryIdempotencyStore()
    user_store = MemoryUsers(audit=audit, answers=answers)
    session_store = MemorySessions(users=user_store, audit=audit)
    key_store = MemoryApiKeys(users=user_store, audit=audit, answers=answers)
    trail = AuditTrail(log=audit, runtime=runtime)
    rate_limiter = RateLimiter(
        limiter=limiter,
        fallback=MemoryLimiter(clock=clock, ban_policy=ban_policy()),
        policies=LimitPolicies(
            ip=policy("ip", options.ip, options.windows),
            user=policy("user", options.user),
            api_key=policy("api_key", options.api_key),
            errors=policy("errors", options.errors),
            messages=policy("messages", options.messages),
            named={
                "login": policy("login", options.login),
                "register": policy("register", options.register),
                "refresh": policy("refresh", options.refresh),
                "password": policy("password", options.password),
            },
        ),
        sessions=session_store,
        api_keys=key_store,
        runtime=runtime,
        clock=clock,
        entropy=entropy,
        metrics=metrics,
        trail=trail,
        revoked=RecentlyRevoked(runtime),
        revocations=limiter,
    )
    # The smallest cost Argon2id takes: what it costs is the crypto adapter's own test.
    passwords = Argon2PasswordHasher(runtime=runtime, entropy=entropy, memory_kib=8, passes=1)
    keys = TokenKeyring(RING, clock=clock, algorithm=options.algorithm, refresh_lifetime_ms=14 * 86_400_000)
    tokens = TokenService(
        keys=keys,
        clock=clock,
        entropy=entropy,
        fingerprint=options.fingerprint,
    )
    users = UserService(
        users=user_store,
        credentials=MemoryCredentials(
            users=user_store,
            sessions=session_store,
            api_keys=key_store,
            audit=audit,
            answers=answers,
        ),
        revocations=rate_limiter,
        limiter=rate_limiter,
        passwords=passwords,
        common_passwords=frozenset({"password1"}),
        runtime=runtime,
        clock=clock,
        entropy=entropy,
    )
    idempotency = Idempotency(
        answers=answers,
        sealer=AesGcmSealer(root_key=bytes(32), purpose="idempotency", entropy=entropy),
        clock=clock,
        secret=bytes(32),
    )
    login = policy("login", options.login)
    throttle = LoginThrottle(
        limiter=rate_limiter,
        failures=MemoryLoginFailures(),
        clock=clock,
        key=bytes(32),
        policy=DelayPolicy(free_failures=login.limit, base_ms=login.period_ms // login.limit),
    )
    devices = ForeignDevices(
        trail=trail,
        limiter=rate_limiter,
        sessions=session_store,
        runtime=runtime,
        clock=clock,
        entropy=entropy,
        metrics=metrics,
    )
    sessions = SessionService(
        users=user_store,
        sessions=session_store,
        revocations=rate_limiter,
        passwords=passwords,
        throttle=throttle,
        tokens=tokens,
        devices=devices,
        runtime=runtime,
        clock=clock,
        entropy=entropy,
        keys=keys,
    )
    api_keys = ApiKeyService(
        keys=key_store,
        nonces=MemoryNonces(clock=clock),
        sealer=AesGcmSealer(root_key=bytes(32), purpose="test", entropy=entropy),
        revocations=rate_limiter,
        runtime=runtime,
        clock=clock,
        entropy=entropy,
    )
    documents = DocumentService(
        documents=MemoryDocuments(audit=audit),
        cache=MemoryCache(clock=clock),
        runtime=runtime,
        clock=clock,
        entropy=entropy,
        metrics=metrics,
    )
    context = Context(
        {
            "users": users,
            "sessions": sessions,
            "tokens": tokens,
            "api_keys": api_keys,
            "rate_limiter": rate_limiter,
            "idempotency": idempotency,
            "documents": documents,
        },
        metrics,
    )
    MainPlugin().initialize(context)
    routes = [*context.routes, *options.routes]
    app = create_app(
        QuartTrio if runtime.name == "trio" else Quart,
        routes,
        runtime=runtime,
        title="credit-system",
        version="1",
        body_bytes_max=options.body_bytes_max,
    )

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
        else:
            await app(scope, receive, send)  # type: ignore[arg-type] # Hypercorn's types of the same

    guard = Guard(
        dispatch,
        routes=RouteTable(routes),
        addresses=AddressRules(trusted_proxies=options.trusted_proxies, allowlist=options.allowlist),
        credentials=CredentialVerifier(
            api_keys=api_keys,
            tokens=BearerTokens(tokens=tokens, devices=devices, sessions=session_store, clock=clock),
        ),
        limiter=rate_limiter,
        operations=OperatorRoutes(
            readiness=Readiness(probes=options.probes, runtime=runtime),
            metrics=metrics,
            runtime=runtime,
            metrics_token=options.metrics_token,
        ),
        cors=Cors(options.origins),
        metrics=HttpMetrics(metrics),
        runtime=runtime,
        entropy=entropy,
    )
    return TestService(
        guard=guard,
        client=Client(guard),
        clock=clock,
        limiter=limiter,
        metrics=metrics,
        users=users,
        answers=answers,
        sessions=sessions,
        api_keys=api_keys,
        runtime=runtime,
        modules=context.modules,
        hooks=context.hooks,
        rate_limiter=rate_limiter,
    )
