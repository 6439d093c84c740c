"""Every collection and view there is: the one place to add a module's indexes and validators to."""

from __future__ import annotations

from adapters.mongo import audit, idempotency, probes
from adapters.mongo.documents import document_store
from adapters.mongo.identity import api_keys, login_failures, sessions, users
from adapters.mongo.indexes import Indexes
from adapters.mongo.ledger import checkpoints, claims, journal
from adapters.mongo.validators import Validators
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

VALIDATORS: tuple[Validators, ...] = (
    users.VALIDATORS,
    sessions.VALIDATORS,
    api_keys.VALIDATORS,
    login_failures.VALIDATORS,
    idempotency.VALIDATORS,
    audit.VALIDATORS,
    journal.VALIDATORS,
    checkpoints.VALIDATORS,
    claims.VALIDATORS,
    document_store.VALIDATORS,
    probes.VALIDATORS,
)

VIEWS: tuple[AnalystView, ...] = (TRANSFERS,)
