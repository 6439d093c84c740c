"""One's own sessions."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from credit_system import (
    NOT_FOUND,
    USER,
    Answer,
    Body,
    Call,
    ConnectionAPI,
    Cursor,
    ListQuery,
    Moment,
    Problem,
    Route,
    Session,
    cursor_form,
    rfc3339,
    time_ordered_form,
)
from domain.identity.sessions import ID_PREFIX
from plugins.main.happenings import note
from plugins.main.routes.problems import foreign_cursor

SESSIONS_SHOWN_MAX = 1000
"""Of one user: older ones are there, and end, but are not listed."""


class SessionView(Body, frozen=True, kw_only=True):
    """A session that has not ended."""

    id: str
    created_at: Moment
    last_seen_at: Moment
    expires_at: Annotated[Moment, Meta(description="Unless it is refreshed before")]
    address: str
    user_agent: str
    current: Annotated[bool, Meta(description="The one that this request came with")]


class SessionsQuery(ListQuery, frozen=True, kw_only=True):
    cursor: Annotated[Cursor, cursor_form(time_ordered_form(ID_PREFIX))] | None = None


class SessionPage(Body, frozen=True, kw_only=True):
    items: list[SessionView]
    next_cursor: str | None


def session_routes(api: ConnectionAPI) -> tuple[Route, ...]:
    async def list_sessions(call: Call[None, SessionsQuery]) -> Answer | Problem:
        caller, query = call.caller, call.query
        refused = foreign_cursor(ID_PREFIX, query.cursor)
        if refused is not None:
            return refused
        sessions = await api.sessions.list_sessions(caller.id, limit=SESSIONS_SHOWN_MAX)
        # Ids sort by time: a page goes on where the last one ended, whatever ended meanwhile.
        left = [session for session in sessions if query.cursor is None or session.id < query.cursor]
        shown = left[: query.limit]
        return Answer(
            200,
            SessionPage(
                items=[_view(session, caller.session_id) for session in shown],
                next_cursor=shown[-1].id if len(left) > len(shown) else None,
            ),
        )

    async def end_session(call: Call[None, None]) -> Answer | Problem:
        session_id = call.path["session_id"]
        if not await api.sessions.revoke_session(call.caller.id, session_id, call.context):
            return NOT_FOUND
        note("session ended", call.context, session=session_id)
        return Answer(204)

    async def end_sessions(call: Call[None, None]) -> Answer:
        await api.sessions.revoke_sessions(call.caller.id, call.context)
        note("all sessions ended", call.context, user=call.caller.id)
        return Answer(204)

    tags = ("authentication",)
    return (
        Route("GET", "/auth/sessions", "list_sessions", USER, list_sessions, query=SessionsQuery,
              answer=SessionPage, tags=tags, summary="One's own sessions, newest first"),
        Route("DELETE", "/auth/sessions", "end_sessions", USER, end_sessions, success=204, tags=tags,
              summary="End all of one's own sessions, this one as well"),
        Route("DELETE", "/auth/sessions/<session_id>", "end_session", USER, end_session, success=204,
              problems=(NOT_FOUND,), tags=tags, summary="End one of one's own sessions"),
    )  # fmt: skip


def _view(session: Session, current: str | None) -> SessionView:
    return SessionView(
        id=session.id,
        created_at=rfc3339(session.created_ms),
        last_seen_at=rfc3339(session.last_seen_ms),
        expires_at=rfc3339(min(session.idle_expires_ms, session.absolute_expires_ms)),
        address=session.address,
        user_agent=session.user_agent,
        current=session.id == current,
    )
