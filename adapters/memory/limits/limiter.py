"""The limiter in one process's memory: a thin shell on the pure rules of `domain.limits.admission`."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import itemgetter

from adapters.memory.limits.identifier_table import IdentifierTable, Record
from domain.limits.admission import (
    Admission,
    Charge,
    GuardState,
    Standing,
    Verdict,
    blame,
    check_charges,
    decide,
    identifiers_of,
    networks_of,
    refused_by,
)
from domain.limits.bans import (
    NO_OFFENCES,
    NO_SUBNET_BANS,
    Ban,
    BanPolicy,
    OffenceRecord,
    SubnetBans,
    automatic_reason,
    forget_violations,
    impose,
    is_banned,
    jitter_ppm,
    lift,
    offences_expire_at_ms,
    subnet_bans_expire_at_ms,
    violations_at,
)
from domain.limits.identifiers import Identifier
from domain.limits.windows import UNUSED, Policy, WindowState, peek
from ports.clock import Clock
from ports.limits.limiter import BanPage, BanPosition, Limiter, LimitStatus


class MemoryLimiter:
    """Complete and bounded. No call awaits anything, so each is atomic among one loop's tasks."""

    def __init__(
        self,
        *,
        clock: Clock,
        ban_policy: BanPolicy,
        identifiers_max: int = 100_000,
        sessions_max: int = 100_000,
    ) -> None:
        self._clock = clock
        self._ban_policy = ban_policy
        self._table = IdentifierTable(identifiers_max=identifiers_max)
        self._sessions_max = sessions_max
        self._revoked: dict[str, int] = {}
        self._revocation_ends: list[tuple[int, str]] = []

    async def decide(self, charges: Sequence[Charge], *, session: str | None, jitter: float) -> Admission:
        check_charges(charges)
        now_ms = self._clock.now_ms()
        before = self._load(charges, session, now_ms)
        admission, after = decide(charges, before, now_ms, ban_policy=self._ban_policy, jitter=jitter)
        if admission.verdict is Verdict.ALLOWED:
            for standing, window in zip(admission.standings, after.windows, strict=True):
                self._count(standing, window, now_ms)
        self._keep(before, after, now_ms)
        return admission

    async def violate(self, identifier: Identifier, *, jitter: float) -> Ban | None:
        jitter_ppm(jitter)
        now_ms = self._clock.now_ms()
        before = self._blamed([identifier])
        banned = any(is_banned(offences, now_ms) for offences in before.offence_records.values())
        if not self._ban_policy.blames(identifier.type) or banned:
            return None
        after, escalated = blame(before, identifier, now_ms, ban_policy=self._ban_policy, jitter=jitter)
        self._keep(before, after, now_ms)
        ban = self._ban_in_force(identifier, now_ms)
        return None if ban is None else replace(ban, escalated=escalated)

    async def ban(
        self,
        identifier: Identifier,
        *,
        duration_ms: int | None,
        jitter: float,
        reason: str = "",
    ) -> Ban:
        now_ms = self._clock.now_ms()
        offences = impose(
            self._ban_policy,
            self._offences(identifier),
            now_ms,
            jitter=jitter,
            duration_ms=duration_ms,
        )
        return _ban(identifier, self._judge(identifier, offences, now_ms, reason=reason))

    async def lift(self, identifier: Identifier) -> bool:
        now_ms = self._clock.now_ms()
        offences = self._offences(identifier)
        if not is_banned(offences, now_ms):
            return False
        self._judge(identifier, lift(offences, now_ms), now_ms)
        return True

    async def status(self, identifier: Identifier, charges: Sequence[Charge]) -> LimitStatus:
        now_ms = self._clock.now_ms()
        record = self._table.find(identifier) or Record()
        in_force = [self._ban_in_force(one, now_ms) for one in refused_by(identifier)]
        windows = []
        for policy in _policies_of(identifier, charges):
            standing = peek(policy, self._window(identifier, policy), now_ms)
            windows.append((policy.name, policy.limit - standing.remaining))
        return LimitStatus(
            identifier=identifier,
            windows=tuple(windows),
            violations=violations_at(self._ban_policy, record.offences, now_ms),
            ban=max((ban for ban in in_force if ban), key=lambda ban: ban.until_ms, default=None),
        )

    async def clear(self, identifier: Identifier, charges: Sequence[Charge]) -> None:
        if (record := self._table.find(identifier)) is None:
            return
        for policy in _policies_of(identifier, charges):
            record.windows.pop(policy.window, None)
        record.subnet_bans = NO_SUBNET_BANS
        self._judge(identifier, forget_violations(record.offences), self._clock.now_ms())

    async def revoke_session(self, session: str, *, ttl_ms: int) -> None:
        now_ms = self._clock.now_ms()
        until_ms = max(now_ms + ttl_ms, self._revoked.get(session, 0))
        self._revoked[session] = until_ms
        heapq.heappush(self._revocation_ends, (until_ms, session))
        while self._revocation_ends and (
            self._revocation_ends[0][0] <= now_ms or len(self._revocation_ends) > self._sessions_max
        ):
            end_ms, ended = heapq.heappop(self._revocation_ends)
            if self._revoked.get(ended) == end_ms:
                del self._revoked[ended]

    async def restore_revocations(self, sessions: Mapping[str, int]) -> None:
        for session, ttl_ms in sessions.items():
            await self.revoke_session(session, ttl_ms=ttl_ms)

    async def bans(self, *, limit: int, after: BanPosition | None = None) -> BanPage:
        bound = None if after is None else (after.until_ms, after.name)
        placed = (
            ((record.offences.banned_until_ms, f"{identifier.type.value}:{identifier.value}"), identifier)
            for identifier, record in self._table.banned(self._clock.now_ms())
        )
        left = heapq.nlargest(
            limit + 1, (entry for entry in placed if bound is None or entry[0] < bound), key=itemgetter(0)
        )
        shown = left[:limit]
        records = [(identifier, self._table.find(identifier)) for _, identifier in shown]
        return BanPage(
            items=tuple(_ban(identifier, record) for identifier, record in records if record is not None),
            next_position=BanPosition(*shown[-1][0]) if len(left) > limit else None,
        )

    async def bans_in_force(self) -> int:
        return sum(1 for _ in self._table.banned(self._clock.now_ms()))

    async def banned_among(self, identifiers: Sequence[Identifier]) -> Sequence[Identifier]:
        now_ms = self._clock.now_ms()
        return tuple(i for i in identifiers if self._ban_in_force(i, now_ms) is not None)

    def _load(self, charges: Sequence[Charge], session: str | None, now_ms: int) -> GuardState:
        return replace(
            self._blamed(identifiers_of(charges)),
            windows=tuple(self._window(c.identifier, c.policy) for c in charges),
            session_revoked=session is not None and self._revoked.get(session, 0) > now_ms,
        )

    def _blamed(self, identifiers: Sequence[Identifier]) -> GuardState:
        """Their records and those of their networks, without windows."""
        networks = networks_of(identifiers)
        return GuardState(
            windows=(),
            offence_records={i: self._offences(i) for i in (*identifiers, *networks)},
            subnets={i: self._subnet_bans(i) for i in networks},
        )

    def _window(self, identifier: Identifier, policy: Policy) -> WindowState:
        record = self._table.find(identifier)
        return UNUSED if record is None else record.windows.get(policy.window, UNUSED)

    def _offences(self, identifier: Identifier) -> OffenceRecord:
        record = self._table.find(identifier)
        return NO_OFFENCES if record is None else record.offences

    def _subnet_bans(self, network: Identifier) -> SubnetBans:
        record = self._table.find(network)
        return NO_SUBNET_BANS if record is None else record.subnet_bans

    def _ban_in_force(self, identifier: Identifier, now_ms: int) -> Ban | None:
        record = self._table.find(identifier)
        if record is None or not is_banned(record.offences, now_ms):
            return None
        return _ban(identifier, record)

    def _keep(self, before: GuardState, after: GuardState, now_ms: int) -> None:
        """Remembers what blaming changed."""
        for identifier, offences in after.offence_records.items():
            if offences != before.offence_records[identifier]:
                self._judge(identifier, offences, now_ms, reason=automatic_reason(identifier))
        for network, subnet_bans in after.subnets.items():
            if subnet_bans != before.subnets[network]:
                record = self._table.touch(network, now_ms)
                record.subnet_bans = subnet_bans
                ends_ms = subnet_bans_expire_at_ms(self._ban_policy, subnet_bans)
                record.expires_ms = max(record.expires_ms, ends_ms)

    def _count(self, standing: Standing, window: WindowState, now_ms: int) -> None:
        record = self._table.touch(standing.charge.identifier, now_ms)
        record.windows[standing.charge.policy.window] = window
        record.expires_ms = max(record.expires_ms, now_ms + standing.reset_ms)

    def _judge(
        self, identifier: Identifier, offences: OffenceRecord, now_ms: int, *, reason: str | None = None
    ) -> Record:
        record = self._table.touch(identifier, now_ms)
        self._table.judge(identifier, record, offences)
        if reason is not None:
            record.reason = reason
        record.expires_ms = max(record.expires_ms, offences_expire_at_ms(self._ban_policy, offences))
        return record


def _ban(identifier: Identifier, record: Record) -> Ban:
    offences = record.offences
    return Ban(identifier, offences.banned_until_ms, offences.level, record.reason)


def _policies_of(identifier: Identifier, charges: Sequence[Charge]) -> list[Policy]:
    return [charge.policy for charge in charges if charge.identifier == identifier]


_: type[Limiter] = MemoryLimiter
