"""Every collection and view there is: the one place to add a repository module's indexes to."""

from __future__ import annotations

from adapters.mongo import audit, idempotency, probes
from adapters.mongo.documents import document_store
from adapters.mongo.identity import api_keys, login_failures, sessions, users
from adapters.mongo.indexes import Indexes
from adapters.mongo.ledger import checkpoints, claims, journal
from adapters.mongo.views import TRANSFERS, AnalystView

CATALOG: tuple[Indexes, ...] = (
    users.INDEXES,
    sessions.INDEXES,
    api_keys.INDEXES,
    login_failures.INDEXES,
    idempotency.INDEXES,
    audit.INDEXES,
    journal.INDEXES,
    checkpoints.INDEXES,
    claims.INDEXES,
    document_store.INDEXES,
    probes.INDEXES,
)

VIEWS: tuple[AnalystView, ...] = (TRANSFERS,)
