"""The store in the memory of this process: complete, bounded, and lost with the process."""

from __future__ import annotations

from adapters.memory.audit import MemoryAuditLog
from adapters.memory.bus import MemoryBus
from adapters.memory.documents.cache import MemoryCache
from adapters.memory.documents.document_store import MemoryDocuments
from adapters.memory.idempotency import MemoryIdempotencyStore
from adapters.memory.identity.api_keys import MemoryApiKeys
from adapters.memory.identity.credential_store import MemoryCredentials
from adapters.memory.identity.login_failures import MemoryLoginFailures
from adapters.memory.identity.nonces import MemoryNonces
from adapters.memory.identity.sessions import MemorySessions
from adapters.memory.identity.users import MemoryUsers
from adapters.memory.ledger.claims import MemoryClaims
from adapters.memory.ledger.journal import MemoryCheckpoints, MemoryJournal
from adapters.memory.limits.limiter import MemoryLimiter
from composition.config.settings import Settings
from composition.wiring.stores import Stores
from ports.audit import OnRecorded
from ports.clock import Clock


def memory_store(settings: Settings, clock: Clock, *, on_recorded: OnRecorded | None = None) -> Stores:
    """A new store. `on_recorded` is called with each audit event."""
    audit = MemoryAuditLog(on_recorded=on_recorded)
    answers = MemoryIdempotencyStore()
    users = MemoryUsers(audit=audit, answers=answers)
    sessions = MemorySessions(users=users, audit=audit)
    api_keys = MemoryApiKeys(users=users, audit=audit, answers=answers)

    async def nothing() -> None:
        return

    journal = MemoryJournal()
    limiter = MemoryLimiter(clock=clock, ban_policy=settings.ban_policy())
    return Stores(
        users=users,
        sessions=sessions,
        api_keys=api_keys,
        credentials=MemoryCredentials(
            users=users, sessions=sessions, api_keys=api_keys, audit=audit, answers=answers
        ),
        login_failures=MemoryLoginFailures(),
        answers=answers,
        audit=audit,
        journal=journal,
        journal_log=journal,
        checkpoints=MemoryCheckpoints(),
        claims=MemoryClaims(clock),
        ledger_clock=clock,
        documents=MemoryDocuments(audit=audit),
        cache=MemoryCache(clock=clock),
        limiter=limiter,
        patient_limiter=limiter,
        nonces=MemoryNonces(clock=clock),
        bus=MemoryBus(),
        dependencies=(),
        start=nothing,
        stop=nothing,
    )
