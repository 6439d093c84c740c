"""The life of refresh tokens: the table, the code and a naive oracle tell the same story."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from domain.sessions import (
    SessionEvent,
    SessionPolicy,
    SessionState,
    decide_refresh,
    open_session,
    revoke,
    rotate,
    token_state,
)
from domain.tokens import LIFECYCLE, RefreshDecision, TokenEvent, TokenState, decide_token

POLICY = SessionPolicy(idle_ms_max=100, absolute_ms_max=300, repeat_ms_max=10)
START_MS = 1_000_000
SHOWING = {TokenEvent.SHOWN, TokenEvent.SHOWN_ELSEWHERE}


@dataclass
class Known:
    """One token as the oracle sees it: a note of when what was done with it, and no policy but the words."""

    made_ms: int
    used_ms: int | None = None
    successor_used: bool = False


class Families(RuleBasedStateMachine):
    """One session's tokens, all of them kept and shown again by anybody at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = START_MS
        self.session = open_session(
            id="ses_1",
            user_id="usr_1",
            device_id="device-0123456789",
            credential_version=1,
            address="",
            user_agent="",
            now_ms=START_MS,
            policy=POLICY,
        )
        self.tokens = {1: Known(START_MS)}
        self.is_dead = False
        self.version = 1
        # Walked through the table alone.
        self.states = {1: TokenState.CURRENT}

    # --- the oracle

    def has_lapsed(self) -> bool:
        last = max(token.made_ms for token in self.tokens.values())
        return self.now_ms >= min(last + POLICY.idle_ms_max, START_MS + POLICY.absolute_ms_max)

    def expected(self, generation: int, *, same_device: bool) -> RefreshDecision:
        token = self.tokens.get(generation)
        if self.is_dead or self.version != 1:
            return RefreshDecision.REVOKED
        if self.has_lapsed():
            return RefreshDecision.EXPIRED
        if token is None:
            return RefreshDecision.INVALID
        if token.used_ms is None:
            return RefreshDecision.ROTATE if same_device else RefreshDecision.WRONG_DEVICE
        lost = not token.successor_used and self.now_ms - token.used_ms <= POLICY.repeat_ms_max
        return RefreshDecision.REPEAT if lost and same_device else RefreshDecision.REUSED

    # --- what happens

    @rule(ms=st.sampled_from((1, 5, 10, 11, 90, 100)))
    def wait(self, ms: int) -> None:
        self.now_ms += ms
        for generation, token in self.tokens.items():
            if self.has_lapsed():
                self.take(generation, TokenEvent.LAPSED)
            elif token.used_ms is not None and self.now_ms - token.used_ms > POLICY.repeat_ms_max:
                self.take(generation, TokenEvent.OUTLIVED)

    @rule(back=st.sampled_from((0, 0, 1, 2, 3, -1)), same_device=st.sampled_from((True, True, True, False)))
    def show(self, back: int, same_device: bool) -> None:
        generation = max(self.tokens) - back
        decision = decide_refresh(
            self.session,
            generation=generation,
            same_device=same_device,
            credential_version=self.version,
            now_ms=self.now_ms,
            policy=POLICY,
        )
        assert decision is self.expected(generation, same_device=same_device)
        if self.version == 1:
            event = TokenEvent.SHOWN if same_device else TokenEvent.SHOWN_ELSEWHERE
            state = self.states.get(generation, self.state_of_the_unissued())
            assert LIFECYCLE[state, event][1] is decision
        if decision is RefreshDecision.ROTATE:
            self.rotate_to_the_next(generation)
        elif decision is RefreshDecision.REUSED:
            self.die(SessionEvent.REUSED)

    def rotate_to_the_next(self, generation: int) -> None:
        self.session = rotate(
            self.session, address="203.0.113.7", user_agent="suite", now_ms=self.now_ms, policy=POLICY
        )
        self.tokens[generation].used_ms = self.now_ms
        self.tokens[generation + 1] = Known(self.now_ms)
        self.take(generation, TokenEvent.SHOWN)
        self.states[generation + 1] = LIFECYCLE[TokenState.UNISSUED, TokenEvent.ISSUED][0]
        if generation > 1:
            self.tokens[generation - 1].successor_used = True
            self.take(generation - 1, TokenEvent.OUTLIVED)

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
    for same_device in (True, False):
        assert decide_token(state, same_device=same_device) in RefreshDecision
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
    assert rotating == [(TokenState.CURRENT, TokenEvent.SHOWN)]
