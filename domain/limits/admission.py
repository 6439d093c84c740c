"""Admission of requests: identifiers are charged under policies, and the request is admitted or refused.

A decision covers every identifier of a request and is all-or-nothing: a refused request consumes nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum

from domain.limits.bans import (
    NO_OFFENCES,
    NO_SUBNET_BANS,
    BanPolicy,
    OffenceRecord,
    SubnetBans,
    escalate,
    impose,
    is_banned,
    violate,
)
from domain.limits.identifiers import Identifier, IdentifierType, network_of
from domain.limits.windows import Policy, WindowDecision, WindowState, peek, take

__all__ = [
    "Admission",
    "Charge",
    "GuardState",
    "Identifier",
    "IdentifierType",
    "Standing",
    "Verdict",
    "blame",
    "check_charges",
    "decide",
    "identifiers_of",
    "networks_of",
    "refused_by",
]

CHARGES_MAX = 16


@dataclass(frozen=True, slots=True)
class Charge:
    """The cost of a request to an identifier under a policy. Raises `ValueError` for one over the limit."""

    identifier: Identifier
    policy: Policy
    cost: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.cost <= self.policy.limit:
            raise ValueError(f"cost {self.cost} is not within 1 … {self.policy.limit}")


class Verdict(Enum):
    """The answer to a request, in order of precedence."""

    BANNED = "banned"
    REVOKED = "revoked"
    QUOTA_EXCEEDED = "quota_exceeded"
    ALLOWED = "allowed"


@dataclass(frozen=True, slots=True)
class Standing:
    """How one charge stands after a decision."""

    charge: Charge
    remaining: int
    reset_ms: int
    """Milliseconds until the window is whole again."""


@dataclass(frozen=True, slots=True)
class Admission:
    """The decision about one request."""

    verdict: Verdict
    retry_after_ms: int = 0
    """Milliseconds until the last ban ends, or until the same request would pass if nothing else is counted.
    0 for an admitted request, and for a revoked session, where waiting does not help."""
    identifier: Identifier | None = None
    """The identifier that exceeds a limit or is banned. Of several bans, the one that ends last counts, which
    may be that of a network (`domain.limits.identifiers.network_of`); after a new ban, the newly banned
    identifier."""
    standings: tuple[Standing, ...] = ()
    """One for each charge, in order; none for a banned or revoked request, which is not counted."""
    newly_banned: bool = False
    """Whether this request caused the ban."""
    escalated: bool = False
    """Whether it also caused a ban of the network."""
    revocations_known: bool = True
    """False when the limiter may have lost revocations: the session store has to be read."""


@dataclass(frozen=True, slots=True)
class GuardState:
    """The state that one decision reads and writes."""

    windows: tuple[WindowState, ...]
    """One for each charge, in order."""
    offence_records: Mapping[Identifier, OffenceRecord] = field(default_factory=dict)
    """Those of the identifiers and their networks; a missing one is `NO_OFFENCES`."""
    session_revoked: bool = False
    subnets: Mapping[Identifier, SubnetBans] = field(default_factory=dict)
    """Those of the networks; a missing one is `NO_SUBNET_BANS`."""


def check_charges(charges: Sequence[Charge]) -> None:
    """Raises `ValueError` for more than `CHARGES_MAX`, or two charges of one window."""
    if len(charges) > CHARGES_MAX:
        raise ValueError(f"{len(charges)} charges, at most {CHARGES_MAX}")
    windows = {(charge.identifier, charge.policy.window) for charge in charges}
    if len(windows) != len(charges):
        raise ValueError("two charges name the same window of the same identifier")


def identifiers_of(charges: Sequence[Charge]) -> tuple[Identifier, ...]:
    """The identifiers of the charges, each once, in order."""
    return tuple(dict.fromkeys(charge.identifier for charge in charges))


def networks_of(identifiers: Sequence[Identifier]) -> tuple[Identifier, ...]:
    """The networks of the identifiers, each once, in order."""
    networks = (network_of(identifier) for identifier in identifiers)
    return tuple(dict.fromkeys(network for network in networks if network is not None))


def refused_by(identifier: Identifier) -> tuple[Identifier, ...]:
    """The identifiers whose bans refuse this one: itself and its network."""
    network = network_of(identifier)
    return (identifier,) if network is None else (identifier, network)


def blame(
    state: GuardState, identifier: Identifier, now_ms: int, *, ban_policy: BanPolicy, jitter: float
) -> tuple[GuardState, bool]:
    """Adds a violation of an identifier that is not banned. Also, whether it banned the network."""
    offences = violate(ban_policy, state.offence_records.get(identifier, NO_OFFENCES), now_ms, jitter)
    offence_records, subnets = {**state.offence_records, identifier: offences}, state.subnets
    escalated = False
    network = network_of(identifier)
    if network is not None and is_banned(offences, now_ms):
        subnet_bans, escalated = escalate(
            ban_policy, subnets.get(network, NO_SUBNET_BANS), identifier, now_ms
        )
        subnets = {**subnets, network: subnet_bans}
        if escalated:
            wide = offence_records.get(network, NO_OFFENCES)
            offence_records[network] = impose(ban_policy, wide, now_ms, jitter=jitter)
    return replace(state, offence_records=offence_records, subnets=subnets), escalated


def decide(
    charges: Sequence[Charge],
    state: GuardState,
    now_ms: int,
    *,
    ban_policy: BanPolicy,
    jitter: float,
) -> tuple[Admission, GuardState]:
    """Decides by bans, then revocation, then every window. Also, the state after the decision.

    `jitter` (0 … 0.1) lengthens a ban that this request causes.
    """
    identifiers = identifiers_of(charges)
    banned = [
        (state.offence_records[identifier].banned_until_ms, identifier)
        for identifier in (*identifiers, *networks_of(identifiers))
        if is_banned(state.offence_records.get(identifier, NO_OFFENCES), now_ms)
    ]
    if banned:
        until_ms, identifier = max(banned, key=lambda ban: ban[0])
        return Admission(Verdict.BANNED, until_ms - now_ms, identifier), state
    if state.session_revoked:
        return Admission(Verdict.REVOKED), state
    taken = [
        take(charge.policy, window, now_ms, charge.cost)
        for charge, window in zip(charges, state.windows, strict=True)
    ]
    if all(decision.allowed for decision, _ in taken):
        standings = _standings(charges, [decision for decision, _ in taken])
        windows = tuple(window for _, window in taken)
        return Admission(Verdict.ALLOWED, standings=standings), replace(state, windows=windows)
    return _refuse(charges, state, [d for d, _ in taken], now_ms, ban_policy, jitter)


def _refuse(
    charges: Sequence[Charge],
    state: GuardState,
    decisions: Sequence[WindowDecision],
    now_ms: int,
    ban_policy: BanPolicy,
    jitter: float,
) -> tuple[Admission, GuardState]:
    """Refuses a request, as a violation of the first identifier over its limit that the ban policy blames."""
    over = [c.identifier for c, d in zip(charges, decisions, strict=True) if not d.allowed]
    identifier = next((i for i in over if ban_policy.blames(i.type)), over[0])
    if ban_policy.blames(identifier.type):
        state, escalated = blame(state, identifier, now_ms, ban_policy=ban_policy, jitter=jitter)
        if is_banned(state.offence_records[identifier], now_ms):
            bans = refused_by(identifier) if escalated else (identifier,)
            wait_ms = max(state.offence_records[banned].banned_until_ms for banned in bans) - now_ms
            refusal = Admission(Verdict.BANNED, wait_ms, identifier, newly_banned=True, escalated=escalated)
            return refusal, state
    # The other charges stand as before: nothing was taken.
    standing = [
        peek(charge.policy, window, now_ms) if decision.allowed else decision
        for charge, window, decision in zip(charges, state.windows, decisions, strict=True)
    ]
    retry_after_ms = max(decision.retry_after_ms for decision in decisions)
    admission = Admission(Verdict.QUOTA_EXCEEDED, retry_after_ms, identifier, _standings(charges, standing))
    return admission, state


def _standings(charges: Sequence[Charge], decisions: Sequence[WindowDecision]) -> tuple[Standing, ...]:
    return tuple(
        Standing(charge, decision.remaining, decision.reset_ms)
        for charge, decision in zip(charges, decisions, strict=True)
    )
