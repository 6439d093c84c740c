"""Login sessions and the families of refresh tokens that belong to them.

A session is a family: each refresh moves it to the next generation and retires the token of the one
before. A retired token that comes back is either an answer lost on its way or a thief.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from domain.addresses import neighbourhood
from domain.ids import is_id
from domain.tokens import RefreshDecision, TokenState, decide_token

ID_PREFIX = "ses"
DEVICE_ID_CHARACTERS_MIN = 16
USER_AGENT_CHARACTERS_MAX = 256
SURPLUS_MAX = 100
"""A limit that was lowered is reached over several logins, so that none of them is a huge write."""

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """How long sessions live, and how long a lost answer may be asked for again."""

    idle_ms_max: int = 14 * _DAY_MS
    absolute_ms_max: int = 90 * _DAY_MS
    repeat_ms_max: int = 10_000
    per_user_max: int = 20
    """Sessions of one user that live at once: the oldest ends when one more begins."""


@dataclass(frozen=True, slots=True)
class Session:
    """One login of one user on one device. Times are milliseconds since the epoch."""

    id: str
    user_id: str
    device_id: str
    credential_version: int
    created_ms: int
    rotated_ms: int
    last_seen_ms: int
    idle_expires_ms: int
    absolute_expires_ms: int
    generation: int = 1
    revoked_ms: int | None = None
    address: str = ""
    """Where it was last seen from, like the user agent."""
    user_agent: str = ""

    def state(self, now_ms: int) -> SessionState:
        if self.revoked_ms is not None:
            return SessionState.REVOKED
        if now_ms >= min(self.idle_expires_ms, self.absolute_expires_ms):
            return SessionState.EXPIRED
        return SessionState.ACTIVE


class SessionState(Enum):
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class SessionEvent(Enum):
    """What can happen to a session."""

    ROTATED = "rotated"
    REPEATED = "repeated"
    REUSED = "reused"
    LAPSED = "lapsed"
    ENDED = "ended"
    """By its user, an administrator, or a change of credentials."""


TRANSITIONS: Mapping[tuple[SessionState, SessionEvent], SessionState] = {
    (SessionState.ACTIVE, SessionEvent.ROTATED): SessionState.ACTIVE,
    (SessionState.ACTIVE, SessionEvent.REPEATED): SessionState.ACTIVE,
    (SessionState.ACTIVE, SessionEvent.REUSED): SessionState.REVOKED,
    (SessionState.ACTIVE, SessionEvent.ENDED): SessionState.REVOKED,
    (SessionState.ACTIVE, SessionEvent.LAPSED): SessionState.EXPIRED,
    (SessionState.EXPIRED, SessionEvent.ENDED): SessionState.REVOKED,
}
"""Every legal step; a state and an event that do not stand here do not go together."""


def open_session(
    *,
    id: str,
    user_id: str,
    device_id: str,
    credential_version: int,
    address: str,
    user_agent: str,
    now_ms: int,
    policy: SessionPolicy,
) -> Session:
    return Session(
        id=id,
        user_id=user_id,
        device_id=device_id,
        credential_version=credential_version,
        created_ms=now_ms,
        rotated_ms=now_ms,
        last_seen_ms=now_ms,
        idle_expires_ms=now_ms + min(policy.idle_ms_max, policy.absolute_ms_max),
        absolute_expires_ms=now_ms + policy.absolute_ms_max,
        address=address,
        user_agent=user_agent[:USER_AGENT_CHARACTERS_MAX],
    )


def decide_refresh(
    session: Session,
    *,
    generation: int,
    same_device: bool,
    credential_version: int,
    now_ms: int,
    policy: SessionPolicy,
) -> RefreshDecision:
    """What a genuine token of this generation gets. `credential_version` is the user's of now."""
    if session.credential_version != credential_version:
        return RefreshDecision.REVOKED
    return decide_token(token_state(session, generation, now_ms, policy), same_device=same_device)


def token_state(session: Session, generation: int, now_ms: int, policy: SessionPolicy) -> TokenState:
    """What has become of the session's refresh token of this generation."""
    state = session.state(now_ms)
    if state is not SessionState.ACTIVE:
        return TokenState.REVOKED if state is SessionState.REVOKED else TokenState.EXPIRED
    if not 1 <= generation <= session.generation:
        return TokenState.UNISSUED
    if generation == session.generation:
        return TokenState.CURRENT
    is_last = generation == session.generation - 1
    is_recent = now_ms - session.rotated_ms <= policy.repeat_ms_max
    return TokenState.GRACE if is_last and is_recent else TokenState.RETIRED


def rotate(session: Session, *, address: str, user_agent: str, now_ms: int, policy: SessionPolicy) -> Session:
    """The next generation. Raises `ValueError` when the session has ended."""
    _require(session, SessionEvent.ROTATED, now_ms)
    return replace(
        session,
        generation=session.generation + 1,
        rotated_ms=now_ms,
        last_seen_ms=now_ms,
        idle_expires_ms=min(now_ms + policy.idle_ms_max, session.absolute_expires_ms),
        address=address,
        user_agent=user_agent[:USER_AGENT_CHARACTERS_MAX],
    )


def surplus(living: Sequence[Session], per_user_max: int) -> Sequence[Session]:
    """Which of a user's living sessions, newest first, end when one more begins: the oldest, at most
    `SURPLUS_MAX` at a time."""
    return living[max(per_user_max - 1, 0) :][-SURPLUS_MAX:]


def revoke(session: Session, event: SessionEvent, *, now_ms: int) -> Session:
    """The session, dead. Raises `ValueError` when it is already, or the event does not end one."""
    if _require(session, event, now_ms) is not SessionState.REVOKED:
        raise ValueError(f"{event.value} does not revoke")
    return replace(session, revoked_ms=now_ms)


def signals(session: Session, *, address: str, user_agent: str) -> Mapping[str, str]:
    """What else differs from where the session was last seen. It decides nothing: networks and browsers
    change by themselves."""
    same_agent = user_agent[:USER_AGENT_CHARACTERS_MAX] == session.user_agent
    same_network = neighbourhood(address) == neighbourhood(session.address)
    return {
        "user_agent": "same" if same_agent else "other",
        "network": "same" if same_network else "other",
    }


def is_device_id(text: str) -> bool:
    """16–64 characters of the alphabet of ids."""
    return len(text) >= DEVICE_ID_CHARACTERS_MIN and is_id(text)


def _require(session: Session, event: SessionEvent, now_ms: int) -> SessionState:
    state = session.state(now_ms)
    after = TRANSITIONS.get((state, event))
    if after is None:
        raise ValueError(f"a session that is {state.value} cannot be {event.value}")
    return after
