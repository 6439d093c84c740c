"""Wires the use cases onto a store and a platform. Importing this module builds nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial

from adapters.crypto.argon2 import Argon2PasswordHasher
from adapters.crypto.common_passwords import read_common_passwords
from adapters.crypto.derivation import derived_key
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
from application.identity.login_throttle import LoginThrottle
from application.identity.revocation_watch import RecentlyRevoked, RevocationWatch
from application.identity.sessions import SessionService
from application.identity.tokens import TokenService
from application.identity.users import UserService
from application.ledger.announcer import Announce
from application.ledger.book_ports import BookPorts
from application.ledger.service import Ledger
from application.limits.message_limiter import MessageLimiter
from application.limits.moderation import Moderation
from application.limits.rate_limiter import LimitPolicies, RateLimiter
from application.realtime.socket_tokens import RevocationFanOut, SocketTokenVerifier
from application.realtime.switchboard import Realtime
from composition.config.parsers import Rate
from composition.config.ring_file import parse_ring
from composition.config.secrets import JWT_FILE, Secrets
from composition.config.settings import Settings
from composition.wiring.field_encryption import FieldEncryption
from composition.wiring.platform import Platform
from composition.wiring.ring_watch import RingFile
from composition.wiring.stores import Stores
from domain.identity.sessions import SessionPolicy
from domain.identity.tokens import ACCESS_KEY_LIFETIME_MS, TokenPolicy
from domain.limits.windows import Policy
from domain.realtime.events import CloseCode
from ports.identity.sessions import SessionRevocations
from ports.identity.token_keys import TokenKeys

FALLBACK_IDENTIFIERS_MAX = 20_000
"""Identifiers that the local limiter counts while the shared one is unavailable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCases:
    """Every use case of the application, ready to be registered as a service."""

    users: UserService
    idempotency: Idempotency
    token_keys: TokenKeys
    field_encryption: FieldEncryption
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
    """All use cases on these stores. `announce` is awaited with every batch that the ledger commits."""
    runtime, clock = platform.runtime, platform.clock
    keys = _token_keys(platform, settings, secrets)
    tokens = TokenService(
        keys=keys,
        clock=clock,
        entropy=platform.entropy,
        policy=TokenPolicy(issuer=settings.token_issuer, audience=settings.token_audience),
        fingerprint=settings.fingerprint,
    )
    trail = AuditTrail(log=stores.audit, runtime=runtime)
    fields = stores.field_encryption or FieldEncryption(platform, secrets)
    fields.unreadable.report_to(trail)
    revoked = RecentlyRevoked(runtime)
    rate_limiter = _rate_limiter(platform, settings, stores, trail, revoked)
    devices = _foreign_devices(platform, stores, trail, rate_limiter)
    realtime = _realtime(platform, stores, tokens, devices)
    # Through the rate limiter, which remembers the revocations that an unavailable limiter missed.
    revocations = RevocationFanOut(limiter=rate_limiter, realtime=realtime)
    # One hasher for users and sessions, and with it one bound on the passwords hashed at once.
    passwords = _password_hasher(platform)
    return UseCases(
        users=_users(platform, stores, passwords, rate_limiter, revocations),
        sessions=_sessions(
            platform, settings, secrets, stores, passwords, rate_limiter, revocations, tokens, devices, keys
        ),
        idempotency=_idempotency(platform, secrets, stores),
        token_keys=keys,
        field_encryption=fields,
        tokens=tokens,
        bearer_tokens=BearerTokens(tokens=tokens, devices=devices, sessions=stores.sessions, clock=clock),
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
        revocation_watch=_revocation_watch(platform, stores, realtime, revoked),
        ledger=_ledger(platform, settings, stores, announce),
    )


def _password_hasher(platform: Platform) -> Argon2PasswordHasher:
    """Hashes at once as many passwords as cores fall to this process."""
    return Argon2PasswordHasher(
        runtime=platform.runtime,
        entropy=platform.entropy,
        running_max=max(1, (os.cpu_count() or 1) // platform.processes),
    )


def _users(
    platform: Platform,
    stores: Stores,
    passwords: Argon2PasswordHasher,
    rate_limiter: RateLimiter,
    revocations: SessionRevocations,
) -> UserService:
    return UserService(
        users=stores.users,
        credentials=stores.credentials,
        revocations=revocations,
        limiter=rate_limiter,
        passwords=passwords,
        common_passwords=read_common_passwords(),
        runtime=platform.runtime,
        clock=platform.clock,
        entropy=platform.entropy,
    )


def _sessions(
    platform: Platform,
    settings: Settings,
    secrets: Secrets,
    stores: Stores,
    passwords: Argon2PasswordHasher,
    rate_limiter: RateLimiter,
    revocations: SessionRevocations,
    tokens: TokenService,
    devices: ForeignDevices,
    keys: TokenKeys,
) -> SessionService:
    return SessionService(
        users=stores.users,
        sessions=stores.sessions,
        revocations=revocations,
        passwords=passwords,
        throttle=LoginThrottle(
            limiter=rate_limiter,
            failures=stores.login_failures,
            clock=platform.clock,
            key=derived_key(secrets.index_root, "login-names"),
            policy=settings.login_delay_policy(),
        ),
        tokens=tokens,
        devices=devices,
        runtime=platform.runtime,
        clock=platform.clock,
        entropy=platform.entropy,
        keys=keys,
        policy=SessionPolicy(
            idle_ms_max=settings.session_idle_ttl_ms,
            absolute_ms_max=settings.session_ttl_ms,
            per_user_max=settings.sessions_per_user,
        ),
    )


def _idempotency(platform: Platform, secrets: Secrets, stores: Stores) -> Idempotency:
    """Answers are sealed, since they may hold a key that is shown once."""
    root_key = secrets.index_root.encode()
    return Idempotency(
        answers=stores.answers,
        sealer=AesGcmSealer(root_key=root_key, purpose="idempotency", entropy=platform.entropy),
        clock=platform.clock,
        secret=derived_key(secrets.index_root, "idempotency"),
    )


def _foreign_devices(
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
            sessions=stores.sessions,
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
            root_key=secrets.index_root.encode(), purpose="request-signing", entropy=platform.entropy
        ),
        revocations=revocations,
        runtime=platform.runtime,
        clock=platform.clock,
        entropy=platform.entropy,
    )


def _token_keys(platform: Platform, settings: Settings, secrets: Secrets) -> TokenKeys:
    ring = parse_ring(secrets.jwt_secret)
    reload = None
    if secrets.jwt_file is not None:
        reload = RingFile(
            JWT_FILE,
            secrets.jwt_file,
            ring,
            parse=parse_ring,
            runtime=platform.runtime,
            metrics=platform.metrics,
        ).reload
    return TokenKeyring(
        ring,
        clock=platform.clock,
        algorithm=settings.token_algorithm,
        refresh_lifetime_ms=settings.session_idle_ttl_ms + ACCESS_KEY_LIFETIME_MS,
        look=reload,
    )


def _revocation_watch(
    platform: Platform, stores: Stores, realtime: Realtime, revoked: RecentlyRevoked
) -> RevocationWatch:
    watch = RevocationWatch(
        sessions=stores.sessions,
        api_keys=stores.api_keys,
        limiter=stores.patient_limiter,
        connected=realtime,
        revoked=revoked,
        runtime=platform.runtime,
        clock=platform.clock,
    )
    realtime.on_gap(watch.recheck)
    return watch


def _rate_limiter(
    platform: Platform, settings: Settings, stores: Stores, trail: AuditTrail, revoked: RecentlyRevoked
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
        revoked=revoked,
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
