"""All identifiers of a request decided at once: precedence, all-or-nothing, who is to blame."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.limits.admission import (
    CHARGES_MAX,
    Admission,
    Charge,
    GuardState,
    Identifier,
    IdentifierType,
    Standing,
    Verdict,
    check_charges,
    decide,
    identifiers_of,
)
from domain.limits.bans import NO_OFFENCES, BanPolicy, OffenceRecord, violate
from domain.limits.windows import UNUSED, Algorithm, Policy, WindowState, peek, take

NOW_MS = 1_000_000
BAN_POLICY = BanPolicy(threshold=2, base_ms=1_000, max_ms=8_000)
ADDRESS = Identifier(IdentifierType.IP, "192.0.2.7")
USER = Identifier(IdentifierType.USER, "usr_1")
NAME = Identifier(IdentifierType.ACCOUNT_NAME, "ada")
KEY = Identifier(IdentifierType.API_KEY, "key_1")
BANS_KEYS = replace(BAN_POLICY, bans_api_keys=True)
FULL = WindowState(since_ms=NOW_MS, used=1)


def charge(identifier: Identifier, name: str = "p", limit: int = 1) -> Charge:
    return Charge(identifier, Policy(name, limit, 1_000, Algorithm.FIXED_WINDOW))


def judged(
    charges: list[Charge], state: GuardState, now_ms: int = NOW_MS, policy: BanPolicy = BAN_POLICY
) -> tuple[Admission, GuardState]:
    return decide(charges, state, now_ms, ban_policy=policy, jitter=0.0)


charges_strategy = st.lists(
    st.builds(
        lambda identifier, name, limit, period, algorithm, cost: Charge(
            identifier, Policy(name, limit, period, algorithm), min(cost, limit)
        ),
        st.sampled_from([ADDRESS, USER, NAME]),
        st.sampled_from(["a", "b"]),
        st.integers(1, 4),
        st.integers(1, 50),
        st.sampled_from(Algorithm),
        st.integers(1, 4),
    ),
    min_size=1,
    max_size=5,
    unique_by=lambda c: (c.identifier, c.policy.window),
)
waits = st.lists(st.integers(0, 30), min_size=1, max_size=25)


def play(charges: list[Charge], script: list[int]) -> tuple[GuardState, int]:
    """The state after requests with these waits between them, and the moment."""
    state, now_ms = GuardState(tuple(UNUSED for _ in charges)), NOW_MS
    for wait_ms in script:
        now_ms += wait_ms
        _, state = judged(charges, state, now_ms)
    return state, now_ms


@given(charges_strategy, waits)
def test_a_request_passes_exactly_when_every_window_passes_and_then_counts_in_each(
    charges: list[Charge], script: list[int]
) -> None:
    state, now_ms = play(charges, script)
    state = replace(state, offence_records={})
    admission, after = judged(charges, state, now_ms)
    taken = [take(c.policy, w, now_ms, c.cost) for c, w in zip(charges, state.windows, strict=True)]
    if all(decision.allowed for decision, _ in taken):
        assert admission.verdict is Verdict.ALLOWED
        assert after.windows == tuple(window for _, window in taken)
        assert after.offence_records == state.offence_records
    else:
        assert admission.verdict is Verdict.QUOTA_EXCEEDED
        assert after.windows == state.windows
        for standing, window in zip(admission.standings, state.windows, strict=True):
            assert standing.remaining == peek(standing.charge.policy, window, now_ms).remaining


@given(charges_strategy, waits)
def test_retry_after_is_exactly_the_first_moment_at_which_the_same_request_passes(
    charges: list[Charge], script: list[int]
) -> None:
    state, now_ms = play(charges, script)
    state = replace(state, offence_records={})
    admission, _ = judged(charges, state, now_ms)
    passing = next(
        wait_ms
        for wait_ms in range(200)
        if judged(charges, state, now_ms + wait_ms)[0].verdict is Verdict.ALLOWED
    )
    assert admission.retry_after_ms == passing


@given(charges_strategy, waits)
def test_a_refusal_blames_at_most_one_and_never_an_account_name(
    charges: list[Charge], script: list[int]
) -> None:
    state, now_ms = play(charges, script)
    admission, after = judged(charges, state, now_ms)
    changed = [
        i for i in identifiers_of(charges) if after.offence_records.get(i) != state.offence_records.get(i)
    ]
    assert NAME not in after.offence_records
    if admission.verdict is Verdict.ALLOWED or not changed:
        assert changed == []
    else:
        assert changed == [admission.identifier]
        before = state.offence_records.get(changed[0], NO_OFFENCES)
        assert after.offence_records[changed[0]] == violate(BAN_POLICY, before, now_ms, 0.0)


@given(charges_strategy, waits, st.integers(1, 100))
def test_while_banned_nothing_counts_and_the_answer_names_the_end(
    charges: list[Charge], script: list[int], left_ms: int
) -> None:
    state, now_ms = play(charges, script)
    identifier = charges[-1].identifier
    offence_records = {identifier: OffenceRecord(level=1, banned_until_ms=now_ms + left_ms)}
    state = GuardState(state.windows, offence_records, session_revoked=True)
    assert judged(charges, state, now_ms) == (Admission(Verdict.BANNED, left_ms, identifier), state)
    assert judged(charges, state, now_ms + left_ms)[0].verdict is Verdict.REVOKED


def test_a_ban_outranks_revocation_and_revocation_outranks_the_quota() -> None:
    charges = [charge(ADDRESS)]
    banned = {ADDRESS: OffenceRecord(level=1, banned_until_ms=NOW_MS + 5)}
    verdicts = [
        judged(charges, GuardState((FULL,), banned, session_revoked=True))[0].verdict,
        judged(charges, GuardState((FULL,), {}, session_revoked=True))[0].verdict,
        judged(charges, GuardState((FULL,)))[0].verdict,
        judged(charges, GuardState((UNUSED,)))[0].verdict,
    ]
    assert verdicts == list(Verdict)


def test_a_revoked_session_counts_nothing_and_waiting_does_not_help() -> None:
    state = GuardState((UNUSED,), {}, session_revoked=True)
    assert judged([charge(ADDRESS)], state) == (Admission(Verdict.REVOKED), state)


def test_of_several_bans_the_one_that_ends_last_is_named() -> None:
    offence_records = {
        ADDRESS: OffenceRecord(level=1, banned_until_ms=NOW_MS + 5),
        USER: OffenceRecord(level=1, banned_until_ms=NOW_MS + 9),
    }
    state = GuardState((UNUSED, UNUSED), offence_records)
    admission, _ = judged([charge(ADDRESS), charge(USER)], state)
    assert admission == Admission(Verdict.BANNED, 9, USER)


def test_the_first_over_its_limit_is_blamed_in_the_order_of_the_charges() -> None:
    charges = [charge(USER, limit=2), charge(ADDRESS), charge(USER, "login")]
    admission, state = judged(charges, GuardState((UNUSED, FULL, FULL)))
    assert admission.identifier == ADDRESS
    assert list(state.offence_records) == [ADDRESS]
    assert admission.standings == (
        Standing(charges[0], 2, 0),
        Standing(charges[1], 0, 1_000),
        Standing(charges[2], 0, 1_000),
    )


def test_an_account_name_before_a_guilty_address_does_not_shield_it() -> None:
    admission, state = judged([charge(NAME), charge(ADDRESS)], GuardState((FULL, FULL)))
    assert admission.identifier == ADDRESS
    assert state.offence_records[ADDRESS].violations == 1


def test_an_account_name_over_its_limit_alone_is_named_and_not_blamed() -> None:
    state = GuardState((FULL, UNUSED))
    admission, after = judged([charge(NAME), charge(ADDRESS)], state)
    assert (admission.verdict, admission.identifier) == (Verdict.QUOTA_EXCEEDED, NAME)
    assert after == state


def test_a_verified_key_is_refused_and_never_blamed() -> None:
    state = GuardState((FULL, UNUSED))
    for _ in range(2 * BAN_POLICY.threshold):
        admission, after = judged([charge(KEY), charge(ADDRESS)], state)
        assert (admission.verdict, admission.identifier) == (Verdict.QUOTA_EXCEEDED, KEY)
        assert admission.retry_after_ms == 1_000
        assert after == state


def test_a_key_shields_no_address_that_is_over_a_limit_of_its_own() -> None:
    admission, state = judged([charge(KEY), charge(ADDRESS, "login")], GuardState((FULL, FULL)))
    assert admission.identifier == ADDRESS
    assert state.offence_records[ADDRESS].violations == 1


def test_keys_are_banned_where_an_operator_says_so() -> None:
    state, verdicts = GuardState((FULL,)), []
    for _ in range(BANS_KEYS.threshold + 2):
        admission, state = judged([charge(KEY)], state, policy=BANS_KEYS)
        verdicts.append(admission.verdict)
    assert verdicts == [Verdict.QUOTA_EXCEEDED] * 2 + [Verdict.BANNED] * 2


def test_a_key_that_was_banned_by_hand_is_refused() -> None:
    offence_records = {KEY: OffenceRecord(level=1, banned_until_ms=NOW_MS + 5)}
    admission, _ = judged([charge(KEY)], GuardState((UNUSED,), offence_records))
    assert admission == Admission(Verdict.BANNED, 5, KEY)


def test_violations_up_to_the_threshold_are_refused_and_the_next_one_bans() -> None:
    state, answers = GuardState((FULL,)), []
    for _ in range(4):
        admission, state = judged([charge(ADDRESS)], state)
        answers.append((admission.verdict, admission.retry_after_ms, admission.newly_banned))
    assert answers == [
        (Verdict.QUOTA_EXCEEDED, 1_000, False),
        (Verdict.QUOTA_EXCEEDED, 1_000, False),
        (Verdict.BANNED, 1_000, True),
        (Verdict.BANNED, 1_000, False),
    ]


def test_one_identifier_may_be_counted_under_several_policies() -> None:
    charges = [charge(ADDRESS, "ip", 5), charge(ADDRESS, "login", 1)]
    check_charges(charges)
    admission, state = judged(charges, GuardState((UNUSED, UNUSED)))
    assert [standing.remaining for standing in admission.standings] == [4, 0]
    admission, state = judged(charges, state)
    assert [standing.remaining for standing in admission.standings] == [4, 0]
    assert state.offence_records[ADDRESS].violations == 1


def test_nobody_to_count_is_admitted() -> None:
    assert judged([], GuardState(())) == (Admission(Verdict.ALLOWED), GuardState(()))


def test_two_charges_of_one_window_and_too_many_charges_are_refused() -> None:
    with pytest.raises(ValueError, match="same window"):
        check_charges([charge(ADDRESS, limit=1), charge(ADDRESS, limit=2)])
    with pytest.raises(ValueError, match="at most"):
        check_charges([charge(ADDRESS, f"p{n}") for n in range(CHARGES_MAX + 1)])


@pytest.mark.parametrize("cost", [0, -1, 3])
def test_a_cost_that_could_never_pass_is_refused(cost: int) -> None:
    with pytest.raises(ValueError, match="cost"):
        Charge(ADDRESS, Policy("p", 2, 1_000), cost)
