"""Who wrote what, when, from where."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from application.audit.reader import AUDIT_CURSOR, KNOWN_ACTIONS, AuditLine, AuditQuery, AuditReader
from credit_system import (
    AUDIT,
    Answer,
    Body,
    Call,
    Cursor,
    ListQuery,
    Moment,
    Problem,
    Route,
    Time,
    cursor_form,
    milliseconds,
    rfc3339,
    told_as,
)
from plugins.admin.named import invalid

DESCRIPTION = (
    "Newest first: events of users, sessions, keys, bans and limits, and the journal of the caller's book"
    " (actions `credits.…`). A page may hold fewer lines than `limit`, even none, and still have a"
    " `next_cursor`: the journal has no index by actor, and is looked through a bounded part at a time."
)

Text = Annotated[str, Meta(min_length=1, max_length=300)]


class AuditListQuery(ListQuery, frozen=True, kw_only=True):
    """`since` is inclusive, `until` exclusive."""

    cursor: Annotated[Cursor, cursor_form(AUDIT_CURSOR.pattern)] | None = None
    actor: Annotated[
        Text | None,
        Meta(description="`user:<id>`, `api_key:<id>`, `creditctl:<name>`, `anonymous` or `system`"),
    ] = None
    action: Annotated[Text, told_as(enum=sorted(KNOWN_ACTIONS))] | None = None
    resource: Annotated[
        Text | None,
        Meta(description="`user:<id>`, `session:<id>`, `ip:<address>`, `account:<id>`, `transfer:<id>`, …"),
    ] = None
    since: Time | None = None
    until: Time | None = None


class AuditLineView(Body, frozen=True, kw_only=True):
    """One write. What the journal tells of has no address and no request."""

    id: str
    at: Moment
    actor: str
    action: str
    resource: str
    address: str | None
    request_id: str | None
    detail: dict[str, str | int]


class AuditPage(Body, frozen=True, kw_only=True):
    items: list[AuditLineView]
    next_cursor: str | None


def audit_routes(reader: AuditReader) -> tuple[Route, ...]:
    async def list_audit(call: Call[None, AuditListQuery]) -> Answer | Problem:
        asked = call.query
        if asked.action is not None and asked.action not in KNOWN_ACTIONS:
            known = ", ".join(sorted(KNOWN_ACTIONS))
            return invalid("action", f"There is no action `{asked.action}`; there are {known}.")
        query = AuditQuery(
            actor=asked.actor,
            action=asked.action,
            resource=asked.resource,
            since_ms=None if asked.since is None else milliseconds(asked.since),
            until_ms=None if asked.until is None else milliseconds(asked.until),
        )
        page = await reader.find(query, book=call.caller.book, limit=asked.limit, cursor=asked.cursor)
        if page is None:
            return invalid("cursor", "`cursor` is no `next_cursor` of this list.")
        items = [_view(line) for line in page.items]
        return Answer(200, AuditPage(items=items, next_cursor=page.next_cursor))

    return (
        Route("GET", "/admin/audit", "list_audit", AUDIT, list_audit, query=AuditListQuery, answer=AuditPage,
              tags=("administration",), summary="Who wrote what, when, from where", description=DESCRIPTION),
    )  # fmt: skip


def _view(line: AuditLine) -> AuditLineView:
    return AuditLineView(
        id=line.id,
        at=rfc3339(line.at_ms),
        actor=line.actor,
        action=line.action,
        resource=line.resource,
        address=line.address or None,
        request_id=line.request_id or None,
        detail=dict(line.detail),
    )
