"""The use cases of users, sessions and repeated requests, wired onto a store."""

from __future__ import annotations

import os

from adapters.crypto.argon2 import Argon2PasswordHasher
from adapters.crypto.common_passwords import read_common_passwords
from adapters.crypto.derivation import derived_key
from adapters.crypto.sealing import AesGcmSealer
from application.idempotency import Idempotency
from application.identity.foreign_devices import ForeignDevices
from application.identity.login_throttle import LoginThrottle, NameLimiter
from application.identity.sessions import SessionService
from application.identity.tokens import TokenService
from application.identity.users import UserService
from composition.config.secrets import Secrets
from composition.config.settings import Settings
from composition.wiring.stores import Stores
from domain.identity.sessions import SessionPolicy
from ports.clock import Clock
from ports.entropy import Entropy
from ports.identity.sessions import SessionRevocations
from ports.identity.token_keys import TokenKeys
from ports.runtime import Runtime


def build_identity(
    settings: Settings,
    secrets: Secrets,
    stores: Stores,
    *,
    runtime: Runtime,
    clock: Clock,
    entropy: Entropy,
    limiter: NameLimiter,
    revocations: SessionRevocations,
    tokens: TokenService,
    devices: ForeignDevices,
    keys: TokenKeys,
    processes: int,
) -> tuple[UserService, SessionService]:
    """They share one hasher, and with it one bound on how many passwords are hashed at once: the cores that
    fall to one of `processes` workers."""
    hashes_max = max(1, (os.cpu_count() or 1) // processes)
    passwords = Argon2PasswordHasher(runtime=runtime, entropy=entropy, running_max=hashes_max)
    users = UserService(
        users=stores.users,
        credentials=stores.credentials,
        revocations=revocations,
        limiter=limiter,
        passwords=passwords,
        common_passwords=read_common_passwords(),
        runtime=runtime,
        clock=clock,
        entropy=entropy,
    )
    sessions = SessionService(
        users=stores.users,
        sessions=stores.sessions,
        revocations=revocations,
        passwords=passwords,
        gate=LoginThrottle(
            limiter=limiter,
            failures=stores.login_failures,
            clock=clock,
            key=derived_key(secrets.encryption_key, "login-names"),
            policy=settings.login_delay_policy(),
        ),
        tokens=tokens,
        devices=devices,
        runtime=runtime,
        clock=clock,
        entropy=entropy,
        keys=keys,
        policy=SessionPolicy(
            idle_ms_max=settings.session_idle_ttl_ms,
            absolute_ms_max=settings.session_ttl_ms,
            per_user_max=settings.sessions_per_user,
        ),
    )
    return users, sessions


def build_idempotency(secrets: Secrets, stores: Stores, *, clock: Clock, entropy: Entropy) -> Idempotency:
    """What it remembers may hold a key that is shown once, so it is sealed."""
    return Idempotency(
        answers=stores.answers,
        sealer=AesGcmSealer(root_key=secrets.encryption_key.encode(), purpose="idempotency", entropy=entropy),
        clock=clock,
        secret=derived_key(secrets.encryption_key, "idempotency"),
    )
