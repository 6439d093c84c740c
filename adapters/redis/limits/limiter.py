"""The limiter in Redis: one script call a decision, on Redis's own clock."""

from __future__ import annotations

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from adapters.redis.driver.interface import RedisDriver, accepted
from adapters.redis.driver.resp import Command, Reply, frame
from adapters.redis.key_names import KeyNames
from adapters.redis.limits.decision import Calls, answer, integers
from adapters.redis.limits.script import Script
from adapters.redis.limits.slots import SlotPart, decide_in_parts, parts_of
from domain.limits.admission import Admission, Charge, Verdict, refused_by
from domain.limits.bans import (
    DURATION_MS_MAX,
    Ban,
    BanPolicy,
    OffenceRecord,
    automatic_reason,
    jitter_ppm,
    violations_at,
)
from domain.limits.identifiers import Identifier, IdentifierType, network_of
from domain.limits.windows import UNUSED, Algorithm, Policy, WindowState, peek
from ports.errors import DependencyUnavailable
from ports.limits.limiter import BanPage, BanPosition, Limiter, LimitStatus

SENTINEL_TTL_MS = 86_400_000
RESTORE_COMMANDS_MAX = 1_024
_TRIED = Policy("probe", 1_000_000, 60_000, Algorithm.FIXED_WINDOW)


class RedisLimiter:
    """Every worker of a service uses the same `naming_key`; another service another one.

    `seal` and `open_sealed` keep the names of the banned, which `bans` lists, unreadable in Redis;
    `open_sealed` gives None for what does not open. `now_ms` replaces Redis's clock where a test
    drives the time.
    """

    def __init__(
        self,
        *,
        driver: RedisDriver,
        ban_policy: BanPolicy,
        naming_key: bytes,
        seal: Callable[[bytes], bytes],
        open_sealed: Callable[[bytes], bytes | None],
        now_ms: Callable[[], int] | None = None,
    ) -> None:
        self._driver = driver
        self._ban_policy = ban_policy
        self._names = KeyNames(key=naming_key)
        self._seal = seal
        self._open = open_sealed
        self._script = Script(driver=driver, name="limiter.lua")
        self._calls = Calls(script=self._script, names=self._names, ban_policy=ban_policy, now_ms=now_ms)
        self._restored_at: int | None = None

    async def decide(self, charges: Sequence[Charge], *, session: str | None, jitter: float) -> Admission:
        jitter_word = frame(jitter_ppm(jitter))
        if not charges and session is None:
            return Admission(Verdict.ALLOWED)
        names = self._names
        keys = [names.identifier(charge.identifier) for charge in charges]
        session_keys = None if session is None else names.session(session)
        parts: Sequence[SlotPart] = ()
        if self._driver.is_cluster:
            parts = parts_of(self._driver, charges, keys, session_keys)
        if len(parts) > 1:
            decided = await decide_in_parts(self._calls, self._driver, parts, jitter_word, self._is_known)
        else:
            said = await self._calls.decide(charges, keys, session_keys, jitter_word, blames=True)
            decided = answer(said, charges, keys, session is None or self._is_known(said.known))
        if decided.unnamed:
            await self._name_what_refuses(decided.admission)
        return decided.admission

    async def violate(self, identifier: Identifier, *, jitter: float) -> Ban | None:
        jitter_word = frame(jitter_ppm(jitter))
        if not self._ban_policy.blames(identifier.type):
            return None
        until_ms, level, wide_until_ms = await self._calls.violate(identifier, jitter_word)
        if not until_ms:
            return None
        ban = Ban(identifier, until_ms, level, automatic_reason(identifier), escalated=wide_until_ms > 0)
        await self._name_what_refuses(
            Admission(Verdict.BANNED, identifier=identifier, newly_banned=True, escalated=ban.escalated)
        )
        return ban

    async def ban(
        self,
        identifier: Identifier,
        *,
        duration_ms: int | None,
        jitter: float,
        reason: str = "",
    ) -> Ban:
        if duration_ms is not None and not 1 <= duration_ms <= DURATION_MS_MAX:
            raise ValueError("a ban lasts from 1 ms to 366 days")
        duration = b"" if duration_ms is None else duration_ms
        name = self._sealed(identifier, reason)
        reply = await self._run_for(identifier, b"ban", jitter, duration, name)
        until_ms, level = integers(reply)
        # It is in force, listed or not, so its failed listing is no failure of the ban.
        with suppress(DependencyUnavailable):
            await self._enlist(identifier, until_ms)
        return Ban(identifier, until_ms, level, reason)

    async def lift(self, identifier: Identifier) -> bool:
        lifted = integers(await self._run_for(identifier, b"lift", 0.0)) == [1]
        member = self._names.identifier(identifier).member
        # A ban that is listed and not in force is left out when the list is read.
        with suppress(DependencyUnavailable):
            accepted(await self._driver.execute("ZREM", self._names.ban_index, member))
        return lifted

    async def status(self, identifier: Identifier, charges: Sequence[Charge]) -> LimitStatus:
        keys = self._names.identifier(identifier)
        refusing = refused_by(identifier)
        bans = [self._names.identifier(one).ban_frame for one in refusing]
        policies = _policies_of(identifier, charges)
        reply = await self._script.run(
            [*bans, keys.violations_frame, *map(keys.window_frame, policies)],
            [frame(b"status"), self._calls.moment(), frame(0), self._calls.ban_plan],
            keys.ban,
        )
        now, *values = _optional_texts(reply)
        now_ms, (violations_value, *window_values) = int(now), values[len(bans) :]
        windows = []
        for policy, value in zip(policies, window_values, strict=True):
            state = WindowState(*map(int, value.split())) if value else UNUSED
            windows.append((policy.name, policy.limit - peek(policy, state, now_ms).remaining))
        offences = OffenceRecord(*map(int, violations_value.split())) if violations_value else OffenceRecord()
        read = (self._read_ban(i.type, v, now_ms, i) for i, v in zip(refusing, values, strict=False))
        in_force = [ban for ban in read if ban is not None]
        return LimitStatus(
            identifier=identifier,
            windows=tuple(windows),
            violations=violations_at(self._ban_policy, offences, now_ms),
            ban=max(in_force, key=lambda ban: ban.until_ms, default=None),
        )

    async def clear(self, identifier: Identifier, charges: Sequence[Charge]) -> None:
        keys = self._names.identifier(identifier)
        windows = [keys.window(policy) for policy in _policies_of(identifier, charges)]
        accepted(await self._driver.execute("DEL", keys.violations, keys.subnet_bans, *windows))

    async def revoke_session(self, session: str, *, ttl_ms: int) -> None:
        for reply in await self._driver.execute_many(self._revocation(session, ttl_ms)):
            accepted(reply)

    async def restore_revocations(self, sessions: Mapping[str, int]) -> None:
        # Read first: a connection lost from here on means that the server may have forgotten again.
        await self._driver.reach()
        connections = self._driver.connections
        commands = [c for session, ttl_ms in sessions.items() for c in self._revocation(session, ttl_ms)]
        for start in range(0, len(commands), RESTORE_COMMANDS_MAX):
            for reply in await self._driver.execute_many(commands[start : start + RESTORE_COMMANDS_MAX]):
                accepted(reply)
        sentinels: list[Command] = [("SET", key, 1, "PX", SENTINEL_TTL_MS) for key in self._names.sentinels]
        for reply in await self._driver.execute_many(sentinels):
            accepted(reply)
        self._restored_at = connections

    async def bans(self, *, limit: int, after: BanPosition | None = None) -> BanPage:
        now_ms = await self._now()
        members, has_more = await self._banned_members(now_ms, limit, after)
        if not members:
            return BanPage((), None)
        values = await self._driver.execute_many([("GET", b"banned:" + member) for member, _ in members])
        bans = (
            self._read_ban(IdentifierType(member.split(b":", 1)[0].decode()), value, now_ms)
            for (member, _), value in zip(members, map(_optional_text, values), strict=True)
        )
        last, until_ms = members[-1]
        place = BanPosition(until_ms, last.decode()) if has_more else None
        return BanPage(tuple(ban for ban in bans if ban is not None), place)

    async def bans_in_force(self) -> int:
        count = await self._driver.execute("ZCOUNT", self._names.ban_index, f"({await self._now()}", "+inf")
        return int(str(accepted(count)))

    async def banned_among(self, identifiers: Sequence[Identifier]) -> Sequence[Identifier]:
        if not identifiers:
            return ()
        now_ms = await self._now()
        values = await self._driver.execute_many(
            [("GET", self._names.identifier(i).ban) for i in identifiers]
        )
        read = zip(identifiers, map(_optional_text, values), strict=True)
        return tuple(i for i, value in read if self._read_ban(i.type, value, now_ms, i) is not None)

    async def try_out(self, number: int) -> None:
        """Writes as decisions, revocations and bans do, about no real user. `number` chooses the slots.

        Raises `DependencyUnavailable` where Redis refuses any of it."""
        probe = f"probe {number}"
        await self.decide(
            [Charge(Identifier(IdentifierType.API_KEY, probe), _TRIED)], session=None, jitter=0.0
        )
        await self.revoke_session(probe, ttl_ms=_TRIED.period_ms)
        # A ban that ended long ago: the list drops it with the next one, and never shows it.
        await self._run_list(b"list", 0, b"probe")

    async def _banned_members(
        self, now_ms: int, limit: int, after: BanPosition | None
    ) -> tuple[list[tuple[bytes, int]], bool]:
        """Index members with their ends, and whether there are more. Of one end the greater name comes
        first, so what stands before `after` at its very end was on the page before."""
        highest = "+inf" if after is None else after.until_ms
        found: list[tuple[bytes, int]] = []
        offset = 0
        while True:
            listed = _list(
                await self._driver.execute(
                    *("ZRANGE", self._names.ban_index, highest, f"({now_ms}", "BYSCORE", "REV"),
                    *("LIMIT", offset, limit + 1, "WITHSCORES"),
                )
            )
            for member, score in zip(listed[::2], listed[1::2], strict=True):
                if not isinstance(member, bytes) or not isinstance(score, bytes):
                    raise TypeError("the index of bans holds something else than bans")
                place = (int(score), member.decode())
                if after is None or place < (after.until_ms, after.name):
                    found.append((member, place[0]))
            offset += limit + 1
            if len(found) > limit or len(listed) // 2 <= limit:
                return found[:limit], len(found) > limit

    async def _now(self) -> int:
        (now_ms,) = integers(await self._run_list(b"now"))
        return now_ms

    async def _run_for(
        self, identifier: Identifier, operation: bytes, jitter: float, *more: bytes | int
    ) -> Reply:
        keys = self._names.identifier(identifier)
        return await self._script.run(
            [keys.ban_frame, keys.violations_frame],
            [*self._about(operation, jitter), *map(frame, more)],
            keys.ban,
        )

    async def _run_list(self, operation: bytes, *more: bytes | int) -> Reply:
        index = self._names.ban_index
        return await self._script.run(
            [frame(index)], [*self._about(operation, 0.0), *map(frame, more)], index
        )

    def _about(self, operation: bytes, jitter: float) -> list[bytes]:
        return [
            *(frame(operation), self._calls.moment()),
            *(frame(jitter_ppm(jitter)), self._calls.ban_plan),
        ]

    async def _enlist(self, identifier: Identifier, until_ms: int) -> None:
        """The list lies in a slot of its own, so it can be behind what it lists: a ban that is listed and
        not in force is left out when read, and one that is not listed refuses all the same."""
        await self._run_list(b"list", until_ms, self._names.identifier(identifier).member)

    def _is_known(self, known: bool) -> bool:
        """Whether a slot's revocations are: a new connection may have found a server that lost them."""
        return known and self._restored_at == self._driver.connections

    async def _name_what_refuses(self, refusal: Admission) -> None:
        if refusal.identifier is None:
            return
        await self._name(refusal.identifier)
        if refusal.escalated and (network := network_of(refusal.identifier)) is not None:
            await self._name(network)

    async def _name(self, identifier: Identifier) -> None:
        """Lists an automatic ban, and tells whom it is about, so that the list can be read.

        The decision has been made and stands even when this fails: an unnamed ban is named by the
        next request that it refuses.
        """
        try:
            (until_ms,) = integers(await self._run_for(identifier, b"ends", 0.0))
            if until_ms:
                await self._enlist(identifier, until_ms)
                name = self._sealed(identifier, automatic_reason(identifier))
                accepted(await self._run_for(identifier, b"name", 0.0, name))
        except DependencyUnavailable:
            return

    def _sealed(self, identifier: Identifier, reason: str) -> bytes:
        return urlsafe_b64encode(self._seal(json.dumps([identifier.value, reason]).encode()))

    def _read_ban(
        self, kind: IdentifierType, value: str, now_ms: int, known: Identifier | None = None
    ) -> Ban | None:
        """A stored ban in force; None, too, for one whose name cannot be read and is not known."""
        if not value:
            return None
        until_ms, level, *name = value.split()
        opened = self._open(urlsafe_b64decode(name[0])) if name else None
        if int(until_ms) <= now_ms or (opened is None and known is None):
            return None
        named, reason = json.loads(opened) if opened is not None else ("", "")
        return Ban(known or Identifier(kind, named), int(until_ms), int(level), reason)

    def _revocation(self, session: str, ttl_ms: int) -> list[Command]:
        """Never shortens one that is there: GT compares with it, and nothing is greater than no expiry."""
        key = self._names.session(session).session
        return [("SET", key, 1, "PX", ttl_ms, "NX"), ("PEXPIRE", key, ttl_ms, "GT")]


def _policies_of(identifier: Identifier, charges: Sequence[Charge]) -> list[Policy]:
    return [charge.policy for charge in charges if charge.identifier == identifier]


def _list(reply: Reply) -> list[Reply]:
    reply = accepted(reply)
    if not isinstance(reply, list):
        raise TypeError(f"a list was expected, not {type(reply).__name__}")
    return reply


def _optional_texts(reply: Reply) -> list[str]:
    """A list of strings; an empty one where there is none."""
    return list(map(_optional_text, _list(reply)))


def _optional_text(reply: Reply) -> str:
    reply = accepted(reply)
    return reply.decode() if isinstance(reply, bytes) else ""


def _proof(limiter: RedisLimiter) -> Limiter:
    """mypy holds the adapter to its port here."""
    return limiter
