"""From several banned /64s to a ban of their /56, against an oracle that remembers every ban."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.limits.admission import (
    Admission,
    Charge,
    GuardState,
    Verdict,
    blame,
    decide,
    networks_of,
    refused_by,
)
from domain.limits.bans import (
    ESCALATION_NETWORKS,
    NO_SUBNET_BANS,
    BanPolicy,
    OffenceRecord,
    SubnetBans,
    escalate,
    is_banned,
    subnet_bans_expire_at_ms,
)
from domain.limits.identifiers import Identifier, IdentifierType, is_network, network_of
from domain.limits.windows import UNUSED, Policy

NETWORK = Identifier(IdentifierType.IP, "2001:db8:0:100::/56")
POLICY = BanPolicy(threshold=0, base_ms=1_000, max_ms=8_000, violations_ttl_ms=100)


def link(number: int) -> Identifier:
    return Identifier(IdentifierType.IP, f"2001:db8:0:1{number:02x}::/64")


@pytest.mark.parametrize(
    ("counted", "network"),
    [
        ("2001:db8:1:2::/64", "2001:db8:1::/56"),
        ("2001:db8:1:2ff::/64", "2001:db8:1:200::/56"),
        ("2001:db8:1:ff02::/64", "2001:db8:1:ff00::/56"),
        ("::/64", "::/56"),
        ("ffff:ffff:ffff:ffff::/64", "ffff:ffff:ffff:ff00::/56"),
    ],
)
def test_a_counted_64_belongs_to_its_56(counted: str, network: str) -> None:
    wide = network_of(Identifier(IdentifierType.IP, counted))
    assert wide == Identifier(IdentifierType.IP, network)
    assert is_network(wide)
    assert network_of(wide) is None
    assert not is_network(Identifier(IdentifierType.IP, counted))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (IdentifierType.IP, "192.0.2.7"),
        (IdentifierType.IP, "unknown"),
        (IdentifierType.IP, "2001:db8::1"),
        (IdentifierType.IP, "2001:db8::1/64"),
        (IdentifierType.IP, "2001:db8::/48"),
        (IdentifierType.IP, "x:y::/64"),
        (IdentifierType.USER, "2001:db8:1:2::/64"),
        (IdentifierType.ACCOUNT_NAME, "2001:db8:1:2::/64"),
    ],
)
def test_what_does_not_count_by_64_has_no_network(kind: IdentifierType, value: str) -> None:
    identifier = Identifier(kind, value)
    assert network_of(identifier) is None
    assert refused_by(identifier) == (identifier,)
    assert networks_of([identifier]) == ()


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 6)), max_size=60))
def test_a_56_is_banned_with_the_fourth_of_its_64s_within_the_memory_of_violations(
    script: list[tuple[int, int]],
) -> None:
    subnet_bans, now_ms, history = NO_SUBNET_BANS, 1_000, dict[int, int]()
    for wait_ms, number in script:
        now_ms += wait_ms
        history[number] = now_ms
        recent = {n for n, at in history.items() if now_ms - at < POLICY.violations_ttl_ms}
        subnet_bans, escalated = escalate(POLICY, subnet_bans, link(number), now_ms)
        assert escalated == (len(recent) == ESCALATION_NETWORKS)
        assert len(subnet_bans.banned) < ESCALATION_NETWORKS
        if escalated:
            history = {}
            assert subnet_bans == NO_SUBNET_BANS


def test_a_spread_means_nothing_from_the_moment_it_says() -> None:
    assert subnet_bans_expire_at_ms(POLICY, NO_SUBNET_BANS) == 0
    subnet_bans = SubnetBans(tuple((link(number), 1_000 + number) for number in range(3)))
    ends_ms = subnet_bans_expire_at_ms(POLICY, subnet_bans)
    assert ends_ms == 1_102
    assert len(escalate(POLICY, subnet_bans, link(9), ends_ms - 1)[0].banned) == 2
    assert escalate(POLICY, subnet_bans, link(9), ends_ms)[0] == SubnetBans(((link(9), ends_ms),))


def test_the_same_64_banned_again_and_again_counts_once() -> None:
    subnet_bans = NO_SUBNET_BANS
    for now_ms in range(10):
        subnet_bans, escalated = escalate(POLICY, subnet_bans, link(1), now_ms)
        assert not escalated
    assert subnet_bans == SubnetBans(((link(1), 9),))


def over(number: int, state: GuardState, now_ms: int = 1_000) -> tuple[Admission, GuardState]:
    """A request from the /64 that is over its limit."""
    charge = Charge(link(number), Policy("ip", 1, 1_000_000))
    full = GuardState(
        (decide([charge], GuardState((UNUSED,)), now_ms, ban_policy=POLICY, jitter=0.0)[1].windows),
        state.offence_records,
        state.session_revoked,
        state.subnets,
    )
    return decide([charge], full, now_ms, ban_policy=POLICY, jitter=0.0)


def test_the_request_that_bans_a_56_says_so_and_after_it_every_64_of_it_is_refused() -> None:
    state = GuardState(())
    for number in range(ESCALATION_NETWORKS):
        admission, state = over(number, state)
        assert (admission.verdict, admission.identifier) == (Verdict.BANNED, link(number))
        assert admission.newly_banned
        assert admission.escalated == (number == ESCALATION_NETWORKS - 1)
    assert state.offence_records[NETWORK] == OffenceRecord(level=1, banned_until_ms=2_000)
    stranger = Charge(link(77), Policy("ip", 1, 1_000_000))
    refused, after = decide(
        [stranger],
        GuardState((UNUSED,), state.offence_records, subnets=state.subnets),
        1_999,
        ban_policy=POLICY,
        jitter=0.0,
    )
    assert refused == Admission(Verdict.BANNED, 1, NETWORK)
    assert after.offence_records == state.offence_records
    passed, _ = decide(
        [stranger], GuardState((UNUSED,), state.offence_records), 2_000, ban_policy=POLICY, jitter=0.0
    )
    assert passed.verdict is Verdict.ALLOWED


def test_who_waits_for_both_bans_is_told_the_end_of_the_later_one() -> None:
    subnet_bans = SubnetBans(tuple((link(number), 999) for number in range(3)))
    repeated = {NETWORK: OffenceRecord(level=2, banned_until_ms=900)}
    admission, state = over(9, GuardState((), repeated, subnets={NETWORK: subnet_bans}))
    assert admission.retry_after_ms == 4_000
    assert state.offence_records[NETWORK].banned_until_ms == 5_000
    assert state.offence_records[link(9)].banned_until_ms == 2_000


def test_a_violation_that_does_not_ban_leaves_the_network_alone() -> None:
    lenient = BanPolicy(threshold=3)
    state, escalated = blame(GuardState(()), link(1), 5, ban_policy=lenient, jitter=0.0)
    assert not escalated
    assert state.subnets == {}
    assert not is_banned(state.offence_records[link(1)], 5)


def test_others_than_64s_never_escalate() -> None:
    state = GuardState(())
    for number in range(10):
        user = Identifier(IdentifierType.USER, f"usr_{number}")
        state, escalated = blame(state, user, 5, ban_policy=POLICY, jitter=0.0)
        assert not escalated
    assert state.subnets == {}
