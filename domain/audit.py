"""Audit events: who changed what, when and from where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from domain.ids import RANDOMNESS_BYTES, TIME_BITS, time_ordered_id

ANONYMOUS = "anonymous"
"""The actor of a request without credentials."""
SYSTEM = "system"
"""The actor of the service itself, and of its operator on the command line."""

ID_PREFIX = "aud"


class AuditAction(Enum):
    """The values are those of the API, the log and the metrics."""

    USER_REGISTERED = "user.registered"
    USER_CREATED = "user.created"
    USER_RENAMED = "user.renamed"
    ROLES_CHANGED = "user.roles_changed"
    PASSWORD_CHANGED = "user.password_changed"
    USER_DELETED = "user.deleted"
    SESSION_OPENED = "session.opened"
    SESSION_ENDED = "session.ended"
    SESSION_REVOKED = "session.revoked"
    """An action that builds before `session.ended` wrote. Read, never written."""
    SESSIONS_REVOKED = "session.all_revoked"
    TOKEN_REUSED = "session.token_reused"
    FOREIGN_DEVICE = "session.foreign_device"
    API_KEY_CREATED = "api_key.created"
    API_KEY_REVOKED = "api_key.revoked"
    BAN_ADDED = "ban.added"
    BAN_LIFTED = "ban.lifted"
    LIMITS_CLEARED = "limits.cleared"
    DOCUMENT_INSERTED = "document.inserted"
    DOCUMENT_UPDATED = "document.updated"
    DOCUMENT_DELETED = "document.deleted"
    FIELD_UNREADABLE = "field.unreadable"
    """An encrypted value that did not open: it was changed, moved, or its key is gone."""


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """The record of one change, stored in the same transaction. `at_ms` is since the epoch."""

    id: str
    """A time-ordered id, by which the log is sorted and paged."""
    at_ms: int
    actor: str
    """`user:<id>`, `api_key:<id>`, `anonymous` or `system`."""
    action: AuditAction
    resource: str
    """`user:<id>`, `session:<id>`, …"""
    address: str = ""
    request_id: str = ""
    detail: Mapping[str, str | int] = field(default_factory=dict)
    """A few small facts, never a secret or a body."""


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """Conditions on events, of which None is no condition. `from_ms` is inclusive, `until_ms` exclusive."""

    actor: str | None = None
    action: AuditAction | None = None
    resource: str | None = None
    from_ms: int | None = None
    until_ms: int | None = None

    def matches(self, event: AuditEvent) -> bool:
        """Whether an event meets every condition."""
        return (
            (self.actor is None or event.actor == self.actor)
            and (self.action is None or event.action is self.action)
            and (self.resource is None or event.resource == self.resource)
            and (self.from_ms is None or event.at_ms >= self.from_ms)
            and (self.until_ms is None or event.at_ms < self.until_ms)
        )


def first_id_at(at_ms: int) -> str:
    """The id that separates events before `at_ms` (smaller ids) from those at or after it."""
    bounded_ms = min(max(at_ms, 0), (1 << TIME_BITS) - 1)
    return time_ordered_id(ID_PREFIX, bounded_ms, bytes(RANDOMNESS_BYTES))


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The origin of a request, for the audit log and the list of sessions."""

    request_id: str
    address: str = ""
    user_agent: str = ""
    actor: str = ANONYMOUS


def audit_event(
    context: RequestContext,
    action: AuditAction,
    resource: str,
    *,
    now_ms: int,
    randomness: bytes,
    actor: str | None = None,
    detail: Mapping[str, str | int] | None = None,
) -> AuditEvent:
    """The event of a change. `actor` replaces that of the context where the change identifies it."""
    return AuditEvent(
        id=time_ordered_id(ID_PREFIX, now_ms, randomness),
        at_ms=now_ms,
        actor=context.actor if actor is None else actor,
        action=action,
        resource=resource,
        address=context.address,
        request_id=context.request_id,
        detail=detail or {},
    )
