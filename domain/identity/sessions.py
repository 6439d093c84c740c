"""Sessions, each with its family of refresh tokens.

Each refresh moves the session to the next generation and retires the token of the last one. A retired token
that is presented again belongs to a client that missed the answer, or to a thief.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from domain.addresses import neighbourhood
from domain.identity.tokens import Fingerprint, RefreshDecision, TokenEvent, TokenState, decide_token
from domain.ids import is_id

ID_PREFIX = "ses"
DEVICE_ID_CHARACTERS_MIN = 16
USER_AGENT_CHARACTERS_MAX = 256
SURPLUS_MAX = 100
"""Sessions that one login ends. A lowered limit is reached over several logins, so that no write is huge."""

ROTATIONS_MAX = 100
"""Rotations of one family within `repeat_ms_max`, all remembered to be repeated. One more has to wait."""

_DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """How long sessions live, and for how long a rotated token yields its successor again."""

    idle_ms_max: int = 14 * _DAY_MS
    absolute_ms_max: int = 90 * _DAY_MS
    repeat_ms_max: int = 10_000
    per_user_max: int = 20
    """Active sessions of one user. One more ends the oldest."""


@dataclass(frozen=True, slots=True)
class Session:
    """A session of a user on a device. Times are milliseconds since the epoch."""

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
    rotations_ms: tuple[int, ...] = ()
    """The times of the last `ROTATIONS_MAX` rotations, the latest last. Obsolete ones may be missing."""
    confirmed_generation: int = 0
    """The last generation whose token was presented without a rotation, by another device or by none."""
    revoked_ms: int | None = None
    address: str = ""
    """The address of its last login or refresh, like the user agent."""
    user_agent: str = ""

    def state(self, now_ms: int) -> SessionState:
        """Whether the session is active at `now_ms`, or how it has ended. Every check uses this rule."""
        if self.revoked_ms is not None:
            return SessionState.REVOKED
        if now_ms >= min(self.idle_expires_ms, self.absolute_expires_ms):
            return SessionState.EXPIRED
        return SessionState.ACTIVE


class SessionState(Enum):
    ACTIVE = "active"
    EXPIRED = "expired"
    REVOKED = "revoked"


class EndReason(Enum):
    """Why a session or a key ended, for the audit log. An expiry leaves no event."""

    LOGOUT = "logout"
    REVOKED = "revoked"
    """Its user ended it from another session."""
    ALL_REVOKED = "all_revoked"
    TOO_MANY_SESSIONS = "too_many_sessions"
    TOKEN_REUSED = "token_reused"
    PASSWORD_CHANGED = "password_changed"
    ROLES_CHANGED = "roles_changed"
    USER_DELETED = "user_deleted"


class SessionEvent(Enum):
    """An event of a session."""

    ROTATED = "rotated"
    REPEATED = "repeated"
    REUSED = "reused"
    LAPSED = "lapsed"
    ENDED = "ended"
    """Its user, an administrator or a change of credentials ended it."""


TRANSITIONS: Mapping[tuple[SessionState, SessionEvent], SessionState] = {
    (SessionState.ACTIVE, SessionEvent.ROTATED): SessionState.ACTIVE,
    (SessionState.ACTIVE, SessionEvent.REPEATED): SessionState.ACTIVE,
    (SessionState.ACTIVE, SessionEvent.REUSED): SessionState.REVOKED,
    (SessionState.ACTIVE, SessionEvent.ENDED): SessionState.REVOKED,
    (SessionState.ACTIVE, SessionEvent.LAPSED): SessionState.EXPIRED,
    (SessionState.EXPIRED, SessionEvent.ENDED): SessionState.REVOKED,
}
"""Every legal transition. A state and an event that are missing here exclude each other."""


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
    """A new session of generation 1."""
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
    device_id: str | None,
    level: Fingerprint,
    credential_version: int,
    now_ms: int,
    policy: SessionPolicy,
) -> RefreshDecision:
    """The decision about a genuine token of this generation.

    `device_id` is the device that the request names, `credential_version` the present one of the user.
    """
    if session.credential_version != credential_version:
        return RefreshDecision.REVOKED
    state = token_state(session, generation, now_ms, policy)
    is_lenient = level is not Fingerprint.ENFORCE and not _needs_its_device(session, state, now_ms, policy)
    if is_lenient or device_id == session.device_id:
        return decide_token(state, TokenEvent.PRESENTED)
    is_named = names_device(device_id)
    return decide_token(state, TokenEvent.PRESENTED_ELSEWHERE if is_named else TokenEvent.PRESENTED_UNNAMED)


def token_state(session: Session, generation: int, now_ms: int, policy: SessionPolicy) -> TokenState:
    """The state of the session's refresh token of this generation."""
    state = session.state(now_ms)
    if state is not SessionState.ACTIVE:
        return TokenState.REVOKED if state is SessionState.REVOKED else TokenState.EXPIRED
    if not 1 <= generation <= session.generation:
        return TokenState.UNISSUED
    if generation == session.generation:
        return TokenState.CURRENT
    if generation == session.generation - 1 and session.confirmed_generation != session.generation:
        return TokenState.UNCONFIRMED
    is_recent = generation in _recently_rotated(session, now_ms, policy)
    return TokenState.GRACE if is_recent else TokenState.RETIRED


def rotation_wait_ms(session: Session, now_ms: int, policy: SessionPolicy) -> int:
    """Milliseconds until the family may rotate again, after `ROTATIONS_MAX` recent rotations; or 0."""
    if len(_recently_rotated(session, now_ms, policy)) < ROTATIONS_MAX:
        return 0
    return session.rotations_ms[-ROTATIONS_MAX] + policy.repeat_ms_max + 1 - now_ms


def rotate(session: Session, *, address: str, user_agent: str, now_ms: int, policy: SessionPolicy) -> Session:
    """The session in its next generation. Raises `ValueError` when it has ended or has to wait."""
    _require(session, SessionEvent.ROTATED, now_ms)
    recent = len(_recently_rotated(session, now_ms, policy))
    if recent >= ROTATIONS_MAX:
        raise ValueError("a family that rotates too often has to wait")
    return replace(
        session,
        generation=session.generation + 1,
        rotated_ms=now_ms,
        rotations_ms=(*session.rotations_ms[len(session.rotations_ms) - recent :], now_ms),
        last_seen_ms=now_ms,
        idle_expires_ms=min(now_ms + policy.idle_ms_max, session.absolute_expires_ms),
        address=address,
        user_agent=user_agent[:USER_AGENT_CHARACTERS_MAX],
    )


def surplus(active: Sequence[Session], per_user_max: int) -> Sequence[Session]:
    """Which of a user's active sessions, newest first, end when one more begins: at most `SURPLUS_MAX`."""
    return active[max(per_user_max - 1, 0) :][-SURPLUS_MAX:]


def revoke(session: Session, event: SessionEvent, *, now_ms: int) -> Session:
    """The session, revoked. Raises `ValueError` when it is revoked already, or the event revokes none."""
    if _require(session, event, now_ms) is not SessionState.REVOKED:
        raise ValueError(f"{event.value} does not revoke")
    return replace(session, revoked_ms=now_ms)


def signals(session: Session, *, address: str, user_agent: str) -> Mapping[str, str]:
    """Whether user agent and network differ from the session's. Both may change, so they decide nothing."""
    same_agent = user_agent[:USER_AGENT_CHARACTERS_MAX] == session.user_agent
    same_network = neighbourhood(address) == neighbourhood(session.address)
    return {
        "user_agent": "same" if same_agent else "other",
        "network": "same" if same_network else "other",
    }


def is_device_id(text: str) -> bool:
    """Whether a text can name a device: 16–64 characters of the alphabet of ids."""
    return len(text) >= DEVICE_ID_CHARACTERS_MIN and is_id(text)


def names_device(device_id: str | None) -> bool:
    """Whether a request names a device. `null`, `undefined` and the like are no guess, but name none."""
    return device_id is not None and is_device_id(device_id)


def _require(session: Session, event: SessionEvent, now_ms: int) -> SessionState:
    state = session.state(now_ms)
    after = TRANSITIONS.get((state, event))
    if after is None:
        raise ValueError(f"a session that is {state.value} cannot be {event.value}")
    return after


def _needs_its_device(session: Session, state: TokenState, now_ms: int, policy: SessionPolicy) -> bool:
    """Whether the device has to match at any level: it is the only proof of a late repeat."""
    return state is TokenState.UNCONFIRMED and now_ms - session.rotated_ms > policy.repeat_ms_max


def _recently_rotated(session: Session, now_ms: int, policy: SessionPolicy) -> range:
    """The generations that were rotated at most `repeat_ms_max` ago. Clocks of hosts differ, so every
    generation after a recent one counts as recent."""
    first = session.generation - len(session.rotations_ms)
    for place, rotated_ms in enumerate(session.rotations_ms):
        if now_ms - rotated_ms <= policy.repeat_ms_max:
            return range(first + place, session.generation)
    return range(0)
