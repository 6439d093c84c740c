"""Every collection there is: the one place to add a repository module's indexes to."""

from __future__ import annotations

from adapters.mongo import api_keys, audit, checkpoints, journal, sessions, users
from adapters.mongo.schema import Indexes

CATALOG: tuple[Indexes, ...] = (
    users.INDEXES,
    sessions.INDEXES,
    api_keys.INDEXES,
    audit.INDEXES,
    journal.INDEXES,
    checkpoints.INDEXES,
)
