"""What a store gives to the application: every port that remembers something."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from ports.audit import AuditLog
from ports.clock import Clock
from ports.documents.cache import Cache
from ports.documents.document_store import DocumentStore
from ports.health import Probe
from ports.idempotency import IdempotencyStore
from ports.identity.api_keys import ApiKeys
from ports.identity.credential_store import CredentialStore
from ports.identity.login_failures import LoginFailures
from ports.identity.nonces import Nonces
from ports.identity.sessions import Sessions
from ports.identity.users import Users
from ports.ledger.claims import Claims
from ports.ledger.journal import Checkpoints, Journal
from ports.ledger.journal_log import JournalLog
from ports.limits.limiter import Limiter
from ports.realtime.bus import Bus


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Built inside the running loop; `start` is the first to wait for a server."""

    users: Users
    sessions: Sessions
    api_keys: ApiKeys
    credentials: CredentialStore
    login_failures: LoginFailures
    answers: IdempotencyStore
    audit: AuditLog
    journal: Journal
    journal_log: JournalLog
    checkpoints: Checkpoints
    claims: Claims
    ledger_clock: Clock
    """What the journal's times are told by: one clock for all processes that share the store."""
    documents: DocumentStore
    cache: Cache
    limiter: Limiter
    patient_limiter: Limiter
    """The same for what is done by hand, and for what ends: it waits for a store that is late."""
    nonces: Nonces
    bus: Bus
    dependencies: Sequence[Probe]
    """The parts outside of the process, each for what it is wanted for."""
    start: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]]
