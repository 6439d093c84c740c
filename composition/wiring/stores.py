"""The ports of a store: everything that the application keeps."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from composition.wiring.field_encryption import FieldEncryption
from ports.audit import AuditLog
from ports.clock import Clock
from ports.documents.cache import Cache
from ports.documents.document_store import DocumentStore
from ports.encryption.encrypted_collection import EncryptedCollection
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
    """A store, made inside of the running loop. `start` is the first call that waits for a server."""

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
    """The clock of the journal, one for all processes that share the store."""
    documents: DocumentStore
    cache: Cache
    limiter: Limiter
    patient_limiter: Limiter
    """The same limiter with a longer timeout, for acts by hand and for revocations."""
    nonces: Nonces
    bus: Bus
    start: Callable[[], Awaitable[None]]
    stop: Callable[[], Awaitable[None]]
    dependencies: Sequence[Probe]
    """A probe for each need of each dependency."""
    field_encryption: FieldEncryption | None = None
    """Where fields are stored encrypted."""
    encrypted_collections: Callable[[], Sequence[EncryptedCollection]] = tuple
    """Those that a sweep goes through, once the store has started."""
