"""How a session lives, and what becomes of a refresh token that is shown."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.identity.sessions import (
    SURPLUS_MAX,
    TRANSITIONS,
    Session,
    SessionEvent,
    SessionPolicy,
    SessionState,
    decide_refresh,
    is_device_id,
    open_session,
    revoke,
    rotate,
    surplus,
)
from domain.identity.tokens import Fingerprint, RefreshDecision

POLICY = SessionPolicy(idle_ms_max=1_000, absolute_ms_max=5_000, repeat_ms_max=10)
START_MS = 1_000_000


def a_session(policy: SessionPolicy = POLICY) -> Session:
    return open_session(
        id="ses_1",
        user_id="usr_1",
        device_id="device-0123456789",
        credential_version=1,
        address="203.0.113.7",
        user_agent="x" * 1_000,
        now_ms=START_MS,
        policy=policy,
    )


def decide(
    session: Session,
    generation: int,
    now_ms: int,
    *,
    same_device: bool = True,
    credential_version: int = 1,
) -> RefreshDecision:
    return decide_refresh(
        session,
        generation=generation,
        device_id=session.device_id if same_device else "device-of-eve-0001",
        level=Fingerprint.ENFORCE,
        credential_version=credential_version,
        now_ms=now_ms,
        policy=POLICY,
    )


def test_a_user_agent_is_kept_in_bounds() -> None:
    assert len(a_session().user_agent) == 256


def test_the_current_token_rotates_on_its_own_device_only() -> None:
    assert decide(a_session(), 1, START_MS + 5) is RefreshDecision.ROTATE
    assert decide(a_session(), 1, START_MS + 5, same_device=False) is RefreshDecision.WRONG_DEVICE


def test_a_repeat_from_elsewhere_is_theft_at_once() -> None:
    once = rotate(a_session(), address="198.51.100.2", user_agent="new", now_ms=START_MS, policy=POLICY)
    assert decide(once, 1, START_MS + 1, same_device=False) is RefreshDecision.REUSED
    assert decide(once, 1, START_MS + 1) is RefreshDecision.REPEAT


def test_a_change_of_credentials_ends_every_refresh() -> None:
    assert decide(a_session(), 1, START_MS, credential_version=2) is RefreshDecision.REVOKED


def test_a_token_of_the_future_is_never_good() -> None:
    assert decide(a_session(), 2, START_MS) is RefreshDecision.INVALID
    assert decide(a_session(), 0, START_MS) is RefreshDecision.INVALID


def test_use_puts_off_the_idle_expiry_and_never_the_absolute_one() -> None:
    session = a_session()
    now_ms = START_MS
    while session.state(now_ms) is SessionState.ACTIVE:
        session = rotate(session, address="198.51.100.2", user_agent="new", now_ms=now_ms, policy=POLICY)
        now_ms += POLICY.idle_ms_max - 1
    assert now_ms >= START_MS + POLICY.absolute_ms_max
    assert a_session().state(START_MS + POLICY.idle_ms_max) is SessionState.EXPIRED


@given(
    current=st.integers(1, 6),
    shown=st.integers(0, 8),
    after_ms=st.integers(0, 1_200),
    same_device=st.booleans(),
    is_revoked=st.booleans(),
    version=st.integers(1, 2),
)
def test_every_decision_is_the_documented_one(
    current: int, shown: int, after_ms: int, same_device: bool, is_revoked: bool, version: int
) -> None:
    session = replace(
        a_session(),
        generation=current,
        rotations_ms=(START_MS,) * (current - 1),
        revoked_ms=START_MS if is_revoked else None,
    )
    decision = decide(
        session, shown, START_MS + after_ms, same_device=same_device, credential_version=version
    )
    expected = {
        RefreshDecision.REVOKED: is_revoked or version != 1,
        RefreshDecision.EXPIRED: after_ms >= POLICY.idle_ms_max,
        RefreshDecision.INVALID: shown == 0 or shown > current,
        RefreshDecision.REUSED: shown < current
        and not ((shown + 1 == current or after_ms <= POLICY.repeat_ms_max) and same_device),
        RefreshDecision.WRONG_DEVICE: shown == current and not same_device,
        RefreshDecision.REPEAT: shown < current,
        RefreshDecision.ROTATE: shown == current,
    }
    assert list(expected) == list(RefreshDecision)
    assert decision is next(name for name, applies in expected.items() if applies)


SESSIONS = {
    SessionState.ACTIVE: (a_session(), START_MS),
    SessionState.EXPIRED: (a_session(), START_MS + POLICY.idle_ms_max),
    SessionState.REVOKED: (replace(a_session(), revoked_ms=START_MS), START_MS),
}


@pytest.mark.parametrize("state", list(SessionState))
@pytest.mark.parametrize("event", [SessionEvent.ROTATED, SessionEvent.REUSED, SessionEvent.ENDED])
def test_only_the_steps_of_the_table_can_be_taken(state: SessionState, event: SessionEvent) -> None:
    session, now_ms = SESSIONS[state]

    def step() -> Session:
        if event is SessionEvent.ROTATED:
            return rotate(session, address="198.51.100.2", user_agent="new", now_ms=now_ms, policy=POLICY)
        return revoke(session, event, now_ms=now_ms)

    after = TRANSITIONS.get((state, event))
    if after is None:
        with pytest.raises(ValueError):
            step()
    else:
        assert step().state(now_ms) is after


def test_an_event_that_does_not_end_a_session_cannot_revoke_it() -> None:
    with pytest.raises(ValueError):
        revoke(a_session(), SessionEvent.ROTATED, now_ms=START_MS)


def test_nothing_leads_out_of_a_revoked_session() -> None:
    assert not [pair for pair in TRANSITIONS if pair[0] is SessionState.REVOKED]


def test_a_device_id_has_16_to_64_characters_of_the_alphabet() -> None:
    assert is_device_id("a" * 16)
    assert is_device_id("a" * 64)
    assert not is_device_id("a" * 15)
    assert not is_device_id("a" * 65)
    assert not is_device_id("a" * 15 + " ")


def test_the_oldest_make_room_for_one_more() -> None:
    living = [replace(a_session(), id=f"ses_{at}") for at in range(150, 0, -1)]
    assert surplus(living[:2], 3) == []
    assert surplus(living[:3], 3) == living[2:3]
    assert surplus(living[:5], 1) == living[:5]
    # However far over the limit, no login ends more than so many: the oldest of them.
    assert surplus(living, 3) == living[-SURPLUS_MAX:]


@given(idle=st.integers(1, 10_000), absolute=st.integers(1, 10_000), later=st.integers(0, 9_999))
def test_an_idle_end_is_never_after_the_last_one(idle: int, absolute: int, later: int) -> None:
    policy = SessionPolicy(idle_ms_max=idle, absolute_ms_max=absolute)
    session = a_session(policy)
    assert session.idle_expires_ms <= session.absolute_expires_ms
    now_ms = START_MS + later
    if session.state(now_ms) is SessionState.ACTIVE:
        rotated = rotate(session, address="", user_agent="", now_ms=now_ms, policy=policy)
        assert rotated.idle_expires_ms <= rotated.absolute_expires_ms == session.absolute_expires_ms


def test_a_refresh_tells_where_the_session_was_last_seen() -> None:
    rotated = rotate(
        a_session(), address="198.51.100.2", user_agent="y" * 1_000, now_ms=START_MS, policy=POLICY
    )
    assert (rotated.address, rotated.user_agent) == ("198.51.100.2", "y" * 256)
