"""One function wires the use cases onto a store; nothing is built at import."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from adapters.crypto.sealing import AesGcmSealer
from adapters.crypto.token_keys import TokenKeyring
from adapters.memory.limits.limiter import MemoryLimiter
from application.audit.reader import AuditReader
from application.audit.trail import AuditTrail
from application.documents.service import DocumentService
from application.idempotency import Idempotency
from application.identity.api_keys import ApiKeyService
from application.identity.bearer_tokens import BearerTokens
from application.identity.foreign_devices import ForeignDevices
from application.identity.revocation_watch import RecentlyRevoked, RevocationWatch
from application.identity.sessions import SessionService
from application.identity.tokens import TokenService
from application.identity.users import UserService
from application.ledger.announcer import Announce
from application.ledger.book import BookPorts
from application.ledger.service import Ledger
from application.limits.message_limiter import MessageLimiter
from application.limits.moderation import Moderation
from application.limits.rate_limiter import LimitPolicies, RateLimiter
from application.realtime.socket_tokens import KnownSessions, RevokedEverywhere, SocketTokenVerifier
from application.realtime.switchboard import Realtime
from composition.config.ring_file import parse_ring
from composition.config.secrets import Secrets
from composition.config.settings import Settings
from composition.config.values import Rate
from composition.wiring.identity import build_idempotency, build_identity
from composition.wiring.ring_watch import RingFile
from composition.wiring.stores import Stores
from domain.identity.tokens import ACCESS_KEY_LIFETIME_MS, TokenPolicy
from domain.limits.windows import Policy
from domain.realtime.events import CloseCode
from ports.clock import Clock
from ports.entropy import Entropy
from ports.identity.sessions import SessionRevocations
from ports.identity.token_keys import TokenKeys
from ports.ledger.worker_link import WorkerLink
from ports.metrics import Metrics
from ports.runtime import Runtime

FALLBACK_IDENTIFIERS_MAX = 20_000
"""Whom the local limiter tells apart while the shared one is away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """What everything in one process shares."""

    runtime: Runtime
    clock: Clock
    entropy: Entropy
    metrics: Metrics
    worker_link: WorkerLink | None = None
    """Where several workers of one supervisor serve."""
    processes: int = 1
    """How many of this service share the machine's cores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCases:
    """The application, ready to be registered."""

    users: UserService
    idempotency: Idempotency
    token_keys: TokenKeys
    tokens: TokenService
    bearer_tokens: BearerTokens
    sessions: SessionService
    api_keys: ApiKeyService
    rate_limiter: RateLimiter
    moderation: Moderation
    audit_trail: AuditTrail
    documents: DocumentService
    audit_reader: AuditReader
    messages: MessageLimiter
    realtime: Realtime
    revocation_watch: RevocationWatch
    ledger: Ledger


def build_use_cases(
    platform: Platform, settings: Settings, secrets: Secrets, stores: Stores, *, announce: Announce
) -> UseCases:
    """`announce` is awaited with every batch that the ledger committed."""
    runtime, clock, entropy = platform.runtime, platform.clock, platform.entropy
    keys = _token_keys(platform, settings, secrets)
    tokens = TokenService(
        keys=keys,
        clock=clock,
        entropy=entropy,
        policy=TokenPolicy(issuer=settings.token_issuer, audience=settings.token_audience),
        fingerprint=settings.fingerprint,
    )
    trail = AuditTrail(log=stores.audit, runtime=runtime)
    ended = RecentlyRevoked(runtime)
    rate_limiter = _rate_limiter(platform, settings, stores, trail, ended)
    devices = _devices(platform, stores, trail, rate_limiter)
    realtime = _realtime(platform, stores, tokens, devices)
    # Through the rate limiter: it remembers what it could not tell a store that was away.
    revocations = RevokedEverywhere(limiter=rate_limiter, realtime=realtime)
    users, sessions = build_identity(
        settings,
        secrets,
        stores,
        runtime=runtime,
        clock=clock,
        entropy=entropy,
        limiter=rate_limiter,
        revocations=revocations,
        tokens=tokens,
        devices=devices,
        keys=keys,
        processes=platform.processes,
    )
    return UseCases(
        users=users,
        idempotency=build_idempotency(secrets, stores, clock=clock, entropy=entropy),
        token_keys=keys,
        tokens=tokens,
        bearer_tokens=BearerTokens(
            tokens=tokens, devices=devices, sessions=stores.sessions, clock=platform.clock
        ),
        sessions=sessions,
        api_keys=_api_keys(platform, secrets, stores, revocations),
        rate_limiter=rate_limiter,
        moderation=_moderation(platform, settings, stores, rate_limiter, trail, realtime),
        audit_trail=trail,
        documents=_documents(platform, stores),
        messages=MessageLimiter(
            admit=rate_limiter.admit_messages, limit=settings.rate_limit_messages.limit, runtime=runtime
        ),
        audit_reader=AuditReader(log=stores.audit, journal=stores.journal_log),
        realtime=realtime,
        revocation_watch=_ended_watch(platform, stores, realtime, ended),
        ledger=_ledger(platform, settings, stores, announce),
    )


def _devices(
    platform: Platform, stores: Stores, trail: AuditTrail, rate_limiter: RateLimiter
) -> ForeignDevices:
    return ForeignDevices(
        trail=trail,
        limiter=rate_limiter,
        sessions=stores.sessions,
        runtime=platform.runtime,
        clock=platform.clock,
        entropy=platform.entropy,
        metrics=platform.metrics,
    )


def _realtime(platform: Platform, stores: Stores, tokens: TokenService, devices: ForeignDevices) -> Realtime:
    return Realtime(
        runtime=platform.runtime,
        bus=stores.bus,
        tokens=SocketTokenVerifier(
            tokens=tokens,
            devices=devices,
            users=stores.users,
            sessions=KnownSessions(sessions=stores.sessions, clock=platform.clock),
            clock=platform.clock,
        ),
    )


def _api_keys(
    platform: Platform, secrets: Secrets, stores: Stores, revocations: SessionRevocations
) -> ApiKeyService:
    return ApiKeyService(
        keys=stores.api_keys,
        nonces=stores.nonces,
        sealer=AesGcmSealer(
            root_key=secrets.encryption_key.encode(), purpose="request-signing", entropy=platform.entropy
        ),
        revocations=revocations,
        runtime=platform.runtime,
        clock=platform.clock,
        entropy=platform.entropy,
    )


def _token_keys(platform: Platform, settings: Settings, secrets: Secrets) -> TokenKeys:
    ring = parse_ring(secrets.jwt_secret)
    look = None
    if secrets.jwt_file is not None:
        look = RingFile(secrets.jwt_file, ring, runtime=platform.runtime, metrics=platform.metrics).look
    return TokenKeyring(
        ring,
        clock=platform.clock,
        algorithm=settings.token_algorithm,
        refresh_lifetime_ms=settings.session_idle_ttl_ms + ACCESS_KEY_LIFETIME_MS,
        look=look,
    )


def _ended_watch(
    platform: Platform, stores: Stores, realtime: Realtime, ended: RecentlyRevoked
) -> RevocationWatch:
    watch = RevocationWatch(
        sessions=stores.sessions,
        api_keys=stores.api_keys,
        limiter=stores.patient_limiter,
        connected=realtime,
        ended=ended,
        runtime=platform.runtime,
        clock=platform.clock,
    )
    realtime.on_gap(watch.doubt)
    return watch


def _rate_limiter(
    platform: Platform, settings: Settings, stores: Stores, trail: AuditTrail, ended: RecentlyRevoked
) -> RateLimiter:
    return RateLimiter(
        limiter=stores.limiter,
        fallback=MemoryLimiter(
            clock=platform.clock, ban_policy=settings.ban_policy(), identifiers_max=FALLBACK_IDENTIFIERS_MAX
        ),
        policies=_policies(settings),
        sessions=stores.sessions,
        api_keys=stores.api_keys,
        runtime=platform.runtime,
        clock=platform.clock,
        entropy=platform.entropy,
        metrics=platform.metrics,
        trail=trail,
        ended=ended,
        revocations=stores.patient_limiter,
    )


def _moderation(
    platform: Platform,
    settings: Settings,
    stores: Stores,
    rate_limiter: RateLimiter,
    trail: AuditTrail,
    realtime: Realtime,
) -> Moderation:
    return Moderation(
        limiter=stores.patient_limiter,
        rate_limiter=rate_limiter,
        disconnect=partial(realtime.close_user, code=CloseCode.FORBIDDEN),
        answers=stores.answers,
        trail=trail,
        allowlist=settings.allowlist,
        runtime=platform.runtime,
        clock=platform.clock,
        entropy=platform.entropy,
        metrics=platform.metrics,
    )


def _documents(platform: Platform, stores: Stores) -> DocumentService:
    return DocumentService(
        documents=stores.documents,
        cache=stores.cache,
        runtime=platform.runtime,
        clock=platform.clock,
        entropy=platform.entropy,
        metrics=platform.metrics,
    )


def _ledger(platform: Platform, settings: Settings, stores: Stores, announce: Announce) -> Ledger:
    return Ledger(
        BookPorts(
            runtime=platform.runtime,
            clock=stores.ledger_clock,
            entropy=platform.entropy,
            journal=stores.journal,
            checkpoints=stores.checkpoints,
            worker_link=platform.worker_link,
            claims=stores.claims,
        ),
        accounts_max=settings.ledger_accounts_max,
        announce=announce,
    )


def _policies(settings: Settings) -> LimitPolicies:
    def policy(name: str, rate: Rate) -> Policy:
        return Policy(name, rate.limit, rate.period_ms, settings.rate_limit_algorithm)

    return LimitPolicies(
        ip=policy("ip", settings.rate_limit_ip),
        user=policy("user", settings.rate_limit_user),
        api_key=policy("api_key", settings.rate_limit_api_key),
        errors=policy("errors", settings.rate_limit_errors),
        messages=policy("messages", settings.rate_limit_messages),
        named={
            "login": policy("login", settings.rate_limit_login),
            "register": policy("register", settings.rate_limit_register),
            "refresh": policy("refresh", settings.rate_limit_refresh),
            "password": policy("password", settings.rate_limit_password),
        },
    )
