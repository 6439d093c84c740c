"""Every collection and view there is: the one place to add a repository module's indexes to."""

from __future__ import annotations

from adapters.mongo import (
    answers,
    api_keys,
    audit,
    checkpoints,
    claims,
    documents,
    journal,
    login_failures,
    probes,
    sessions,
    users,
)
from adapters.mongo.schema import Indexes
from adapters.mongo.views import TRANSFERS, View

CATALOG: tuple[Indexes, ...] = (
    users.INDEXES,
    sessions.INDEXES,
    api_keys.INDEXES,
    login_failures.INDEXES,
    answers.INDEXES,
    audit.INDEXES,
    journal.INDEXES,
    checkpoints.INDEXES,
    claims.INDEXES,
    documents.INDEXES,
    probes.INDEXES,
)

VIEWS: tuple[View, ...] = (TRANSFERS,)
