"""The life of refresh tokens: the table, the code and a naive oracle tell the same story."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.identity.sessions import (
    ROTATIONS_MAX,
    Session,
    SessionEvent,
    SessionPolicy,
    SessionState,
    decide_refresh,
    open_session,
    revoke,
    rotate,
    rotation_wait_ms,
    token_state,
)
from domain.identity.tokens import (
    LIFECYCLE,
    Fingerprint,
    RefreshDecision,
    TokenEvent,
    TokenState,
    decide_token,
)

POLICY = SessionPolicy(idle_ms_max=100, absolute_ms_max=300, repeat_ms_max=10)
START_MS = 1_000_000
DEVICE = "device-0123456789"
EVE = "device-of-eve-0001"
SHOWING = {TokenEvent.PRESENTED, TokenEvent.PRESENTED_UNNAMED, TokenEvent.PRESENTED_ELSEWHERE}


def a_session() -> Session:
    return open_session(
        id="ses_1",
        user_id="usr_1",
        device_id=DEVICE,
        credential_version=1,
        address="",
        user_agent="",
        now_ms=START_MS,
        policy=POLICY,
    )


def rotated(session: Session, now_ms: int) -> Session:
    return rotate(session, address="203.0.113.7", user_agent="suite", now_ms=now_ms, policy=POLICY)


def decided(
    session: Session,
    generation: int,
    now_ms: int,
    *,
    device_id: str | None = DEVICE,
    level: Fingerprint = Fingerprint.ENFORCE,
    version: int = 1,
) -> RefreshDecision:
    return decide_refresh(
        session,
        generation=generation,
        device_id=device_id,
        level=level,
        credential_version=version,
        now_ms=now_ms,
        policy=POLICY,
    )


@dataclass
class Known:
    """One token as the oracle sees it: a note of when what was done with it, and no policy but the words."""

    made_ms: int
    used_ms: int | None = None
    was_shown: bool = False


class Families(RuleBasedStateMachine):
    """One session's tokens, all of them kept and shown again by anybody at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = START_MS
        self.session = a_session()
        self.tokens = {1: Known(START_MS)}
        self.is_dead = False
        self.version = 1
        self.level = Fingerprint.ENFORCE
        # Walked through the table alone.
        self.states = {1: TokenState.CURRENT}

    @initialize(level=st.sampled_from((Fingerprint.ENFORCE, Fingerprint.ENFORCE, Fingerprint.OFF)))
    def choose_a_level(self, level: Fingerprint) -> None:
        self.level = level

    # --- the oracle

    def has_lapsed(self) -> bool:
        last = max(token.made_ms for token in self.tokens.values())
        return self.now_ms >= min(last + POLICY.idle_ms_max, START_MS + POLICY.absolute_ms_max)

    def is_lost(self, generation: int) -> bool:
        """Rotated into the newest token, which nobody has shown."""
        newest = max(self.tokens)
        return generation == newest - 1 and not self.tokens[newest].was_shown

    def is_recent(self, token: Known) -> bool:
        return token.used_ms is not None and self.now_ms - token.used_ms <= POLICY.repeat_ms_max

    def event(self, generation: int, device_id: str | None) -> TokenEvent:
        """Who shows it, for all that the level asks."""
        token = self.tokens.get(generation)
        asks_anyway = token is not None and self.is_lost(generation) and not self.is_recent(token)
        if device_id == DEVICE or (self.level is Fingerprint.OFF and not asks_anyway):
            return TokenEvent.PRESENTED
        return TokenEvent.PRESENTED_UNNAMED if device_id is None else TokenEvent.PRESENTED_ELSEWHERE

    def expected(self, generation: int, event: TokenEvent) -> RefreshDecision:
        token = self.tokens.get(generation)
        if self.is_dead or self.version != 1:
            return RefreshDecision.REVOKED
        if self.has_lapsed():
            return RefreshDecision.EXPIRED
        if token is None:
            return RefreshDecision.INVALID
        if token.used_ms is None:
            is_own = event is TokenEvent.PRESENTED
            return RefreshDecision.ROTATE if is_own else RefreshDecision.WRONG_DEVICE
        if not (self.is_recent(token) or self.is_lost(generation)):
            return RefreshDecision.REUSED
        if event is TokenEvent.PRESENTED_UNNAMED:
            return RefreshDecision.WRONG_DEVICE
        return RefreshDecision.REPEAT if event is TokenEvent.PRESENTED else RefreshDecision.REUSED

    # --- what happens

    @rule(ms=st.sampled_from((1, 5, 10, 11, 90, 100)))
    def wait(self, ms: int) -> None:
        self.now_ms += ms
        for generation in self.tokens:
            if self.has_lapsed():
                self.take(generation, TokenEvent.LAPSED)
            else:
                self.outlive(generation)

    @rule(
        back=st.sampled_from((0, 0, 0, 1, 1, 2, 3, -1)),
        device_id=st.sampled_from((DEVICE, DEVICE, DEVICE, DEVICE, None, EVE)),
    )
    def show(self, back: int, device_id: str | None) -> None:
        generation = max(self.tokens) - back
        event = self.event(generation, device_id)
        decision = decided(
            self.session,
            generation,
            self.now_ms,
            device_id=device_id,
            level=self.level,
            version=self.version,
        )
        assert decision is self.expected(generation, event)
        if self.version == 1:
            state = self.states.get(generation, self.state_of_the_unissued())
            assert LIFECYCLE[state, event][1] is decision
        if decision is RefreshDecision.ROTATE:
            self.rotate_to_the_next(generation)
        elif decision is RefreshDecision.REUSED:
            self.die(SessionEvent.REUSED)
        elif decision is RefreshDecision.WRONG_DEVICE and generation == max(self.tokens):
            self.session = replace(self.session, confirmed_generation=generation)
            self.confirm(generation)

    def rotate_to_the_next(self, generation: int) -> None:
        self.session = rotated(self.session, self.now_ms)
        self.tokens[generation].used_ms = self.now_ms
        self.confirm(generation)
        self.tokens[generation + 1] = Known(self.now_ms)
        self.take(generation, TokenEvent.PRESENTED)
        self.states[generation + 1] = LIFECYCLE[TokenState.UNISSUED, TokenEvent.ISSUED][0]

    def confirm(self, generation: int) -> None:
        """It was shown, so the answer that brought it had arrived."""
        self.tokens[generation].was_shown = True
        if generation > 1:
            self.take(generation - 1, TokenEvent.CONFIRMED)
            self.outlive(generation - 1)

    def outlive(self, generation: int) -> None:
        if not self.is_recent(self.tokens[generation]):
            self.take(generation, TokenEvent.OUTLIVED)

    @precondition(lambda self: not self.is_dead and len(self.tokens) > 3)
    @rule()
    def log_out(self) -> None:
        self.die(SessionEvent.ENDED)

    @precondition(lambda self: self.version == 1 and len(self.tokens) > 3)
    @rule()
    def change_the_password(self) -> None:
        self.version = 2

    def die(self, event: SessionEvent) -> None:
        if event is SessionEvent.ENDED or self.session.state(self.now_ms) is SessionState.ACTIVE:
            self.session = revoke(self.session, event, now_ms=self.now_ms)
        self.is_dead = True
        for generation in self.tokens:
            self.take(generation, TokenEvent.ENDED)

    def take(self, generation: int, event: TokenEvent) -> None:
        """Steps that do not apply to where a token is already (lapsed, outlived before) are none."""
        step = LIFECYCLE.get((self.states[generation], event))
        if step is not None:
            self.states[generation] = step[0]

    def state_of_the_unissued(self) -> TokenState:
        if self.is_dead:
            return TokenState.REVOKED
        return TokenState.EXPIRED if self.has_lapsed() else TokenState.UNISSUED

    # --- what is always true

    @invariant()
    def the_code_and_the_table_agree_about_every_token(self) -> None:
        for generation, state in self.states.items():
            assert token_state(self.session, generation, self.now_ms, POLICY) is state

    @invariant()
    def no_more_than_one_token_can_be_rotated(self) -> None:
        assert list(self.states.values()).count(TokenState.CURRENT) <= 1
        if self.is_dead:
            assert set(self.states.values()) == {TokenState.REVOKED}


TestFamilies = Families.TestCase


@pytest.mark.parametrize("state", list(TokenState))
def test_whoever_shows_a_token_gets_an_answer_in_every_state(state: TokenState) -> None:
    for event in SHOWING:
        assert decide_token(state, event) in RefreshDecision
    with pytest.raises(LookupError):
        decide_token(TokenState.CURRENT, TokenEvent.LAPSED)
    for (before, event), (_, decision) in LIFECYCLE.items():
        assert (decision is not None) == (event in SHOWING), (before, event)


def test_nothing_brings_a_dead_token_back() -> None:
    dead = {TokenState.EXPIRED, TokenState.REVOKED}
    for (before, _), (after, _) in LIFECYCLE.items():
        assert before not in dead or after in dead
    assert {after for (before, _), (after, _) in LIFECYCLE.items() if before is TokenState.REVOKED} == {
        TokenState.REVOKED
    }


def test_only_the_current_token_rotates_and_only_its_own_device_may() -> None:
    rotating = [key for key, (_, decision) in LIFECYCLE.items() if decision is RefreshDecision.ROTATE]
    assert rotating == [(TokenState.CURRENT, TokenEvent.PRESENTED)]


def test_only_a_retired_token_ends_its_family_where_no_device_is_named() -> None:
    for (before, event), (after, _) in LIFECYCLE.items():
        if event is TokenEvent.PRESENTED_UNNAMED:
            assert after is (TokenState.REVOKED if before is TokenState.RETIRED else before)


def test_three_tabs_that_refresh_in_turn_all_go_on() -> None:
    session = a_session()
    for generation in (1, 2):
        assert decided(session, generation, START_MS + generation) is RefreshDecision.ROTATE
        session = rotated(session, START_MS + generation)
    assert decided(session, 1, START_MS + 1 + 10) is RefreshDecision.REPEAT
    assert decided(session, 1, START_MS + 1 + 11) is RefreshDecision.REUSED
    # The second one's own ten seconds end later, and its successor has not been shown besides.
    assert decided(session, 2, START_MS + 50) is RefreshDecision.REPEAT


@pytest.mark.parametrize("shown_by", [None, EVE])
def test_a_successor_that_anybody_has_shown_had_arrived(shown_by: str | None) -> None:
    session = rotated(a_session(), START_MS)
    assert decided(session, 1, START_MS + 50) is RefreshDecision.REPEAT
    assert decided(session, 2, START_MS + 50, device_id=shown_by) is RefreshDecision.WRONG_DEVICE
    shown = replace(session, confirmed_generation=2)
    assert decided(shown, 1, START_MS + 10) is RefreshDecision.REPEAT
    assert decided(shown, 1, START_MS + 50) is RefreshDecision.REUSED
    # Its own device's next rotation begins anew.
    assert decided(rotated(shown, START_MS + 50), 2, START_MS + 90) is RefreshDecision.REPEAT


@pytest.mark.parametrize("level", [Fingerprint.OFF, Fingerprint.OBSERVE])
def test_a_late_repeat_needs_its_own_device_at_every_level(level: Fingerprint) -> None:
    session = rotated(a_session(), START_MS)
    for device_id in (None, EVE, DEVICE):
        assert decided(session, 1, START_MS + 10, device_id=device_id, level=level) is RefreshDecision.REPEAT
    late = START_MS + 11
    assert decided(session, 1, late, device_id=DEVICE, level=level) is RefreshDecision.REPEAT
    assert decided(session, 1, late, device_id=EVE, level=level) is RefreshDecision.REUSED
    assert decided(session, 1, late, device_id=None, level=level) is RefreshDecision.WRONG_DEVICE


def test_a_family_that_rotates_too_often_waits_and_none_of_its_tokens_is_forgotten() -> None:
    session = a_session()
    for generation in range(1, ROTATIONS_MAX + 1):
        assert rotation_wait_ms(session, START_MS + generation // 50, POLICY) == 0
        session = rotated(session, START_MS + generation // 50)
    now_ms = START_MS + 10
    assert len(session.rotations_ms) == ROTATIONS_MAX
    for generation in range(1, ROTATIONS_MAX + 1):
        assert decided(session, generation, now_ms) is RefreshDecision.REPEAT
    wait_ms = rotation_wait_ms(session, now_ms, POLICY)
    assert wait_ms == 1
    with pytest.raises(ValueError):
        rotated(session, now_ms)
    session = rotated(session, now_ms + wait_ms)
    assert len(session.rotations_ms) <= ROTATIONS_MAX


def test_what_is_remembered_of_rotations_is_forgotten_with_time() -> None:
    session = a_session()
    for turn in range(4):
        session = rotated(session, START_MS + 20 * turn)
    assert session.rotations_ms == (START_MS + 60,)
    for generation in (1, 2, 3):
        assert decided(session, generation, START_MS + 61) is RefreshDecision.REUSED
