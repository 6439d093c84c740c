"""The limiter in Redis: one script call a decision, on Redis's own clock."""

from __future__ import annotations

import json
import struct
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache

from adapters.redis.driver import Command, RedisDriver, Reply, accepted, frame
from adapters.redis.names import Names
from adapters.redis.script import Script
from domain.admission import (
    CHARGES_MAX,
    Admission,
    Charge,
    Standing,
    Verdict,
    check_charges,
    identifiers_of,
)
from domain.bans import DURATION_MS_MAX, REASON_VIOLATIONS, Ban, BanPolicy, Conduct, jitter_ppm, violations_at
from domain.identifiers import Identifier, IdentifierType
from domain.ratelimit import UNUSED, Algorithm, Policy, WindowState, look
from ports.errors import DependencyUnavailable
from ports.limiter import BanPage, BanPlace, Limiter, LimitStatus

# As admission.lua numbers them.
_VERDICTS = (Verdict.BANNED, Verdict.REVOKED, Verdict.QUOTA_EXCEEDED, Verdict.ALLOWED)
_ALGORITHMS = {Algorithm.FIXED_WINDOW: 0, Algorithm.SLIDING_WINDOW: 1, Algorithm.GCRA: 2}
_DECIDE = frame(b"decide")
_SERVER_TIME = frame(b"")

POLICIES_CACHED_MAX = 1_024
SENTINEL_TTL_MS = 86_400_000
RESTORE_COMMANDS_MAX = 1_024


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
        self._names = Names(key=naming_key)
        self._seal = seal
        self._open = open_sealed
        self._now_ms = now_ms
        self._script = Script(driver=driver, name="admission.lua")
        self._index_frame = frame(self._names.ban_index)
        self._sentinel_frame = frame(self._names.sentinel)
        self._window = lru_cache(maxsize=POLICIES_CACHED_MAX)(_window_bytes)
        self._plan = lru_cache(maxsize=POLICIES_CACHED_MAX)(self._plan_frame)
        self._restored_at: int | None = None
        policy = ban_policy
        self._ban_numbers = (
            policy.threshold,
            policy.base_ms,
            policy.max_ms,
            policy.half_life_ms,
            policy.violations_ttl_ms,
        )

    async def decide(self, charges: Sequence[Charge], *, session: str | None, jitter: float) -> Admission:
        identifiers = identifiers_of(charges)
        keys = self._decide_keys(charges, identifiers, session)
        asked = tuple((identifiers.index(c.identifier) + 1, c.policy, c.cost) for c in charges)
        bannable = tuple(identifier.type.bannable for identifier in identifiers)
        plan = self._plan(session is not None, bannable, asked)
        reply = await self._script.run(keys, [*self._moment(_DECIDE, jitter), plan])
        verdict, known, retry_after_ms, who, newly_banned, named, *numbers = _integers(reply)
        admission = Admission(
            _VERDICTS[verdict],
            retry_after_ms,
            identifiers[who - 1] if who else None,
            tuple(map(Standing, charges, numbers[::2], numbers[1::2])),
            newly_banned == 1,
            session is None or (known == 1 and self._restored_at == self._driver.connections),
        )
        if admission.verdict is Verdict.BANNED and not named and admission.identifier is not None:
            await self._name(admission.identifier)
        return admission

    async def violate(self, identifier: Identifier, *, jitter: float) -> Ban | None:
        if not identifier.type.bannable:
            jitter_ppm(jitter)
            return None
        until_ms, level = _integers(await self._run_for(identifier, b"violate", jitter))
        if not until_ms:
            return None
        await self._name(identifier)
        return Ban(identifier, until_ms, level, REASON_VIOLATIONS)

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
        until_ms, level = _integers(reply)
        return Ban(identifier, until_ms, level, reason)

    async def lift(self, identifier: Identifier) -> bool:
        return _integers(await self._run_for(identifier, b"lift", 0.0)) == [1]

    async def status(self, identifier: Identifier, charges: Sequence[Charge]) -> LimitStatus:
        keys = self._names.identifier(identifier)
        policies = _policies_of(identifier, charges)
        window_keys = [keys.window_prefix + policy.window.encode() for policy in policies]
        # One MGET is one moment; the clock of the same pipeline is at most its duration away.
        time, values = await self._driver.execute_many(
            [("TIME",), ("MGET", keys.ban, keys.violations, *window_keys)]
        )
        now_ms = self._time_ms(time)
        ban_value, violations_value, *window_values = _optional_texts(values)
        windows = []
        for policy, value in zip(policies, window_values, strict=True):
            state = WindowState(*map(int, value.split())) if value else UNUSED
            windows.append((policy.name, policy.limit - look(policy, state, now_ms).remaining))
        conduct = Conduct(*map(int, violations_value.split())) if violations_value else Conduct()
        return LimitStatus(
            identifier=identifier,
            windows=tuple(windows),
            violations=violations_at(self._ban_policy, conduct, now_ms),
            ban=self._read_ban(identifier.type, ban_value, now_ms, identifier),
        )

    async def clear(self, identifier: Identifier, charges: Sequence[Charge]) -> None:
        keys = self._names.identifier(identifier)
        windows = [keys.window_prefix + p.window.encode() for p in _policies_of(identifier, charges)]
        accepted(await self._driver.execute("DEL", keys.violations, *windows))

    async def revoke_session(self, session: str, *, ttl_ms: int) -> None:
        for reply in await self._driver.execute_many(self._revocation(session, ttl_ms)):
            accepted(reply)

    async def restore_revocations(self, sessions: Mapping[str, int]) -> None:
        # Read first: a connection lost from here on means that the server may have forgotten again.
        accepted(await self._driver.execute("PING"))
        connections = self._driver.connections
        commands = [c for session, ttl_ms in sessions.items() for c in self._revocation(session, ttl_ms)]
        for start in range(0, len(commands), RESTORE_COMMANDS_MAX):
            for reply in await self._driver.execute_many(commands[start : start + RESTORE_COMMANDS_MAX]):
                accepted(reply)
        accepted(await self._driver.execute("SET", self._names.sentinel, 1, "PX", SENTINEL_TTL_MS))
        self._restored_at = connections

    async def bans(self, *, limit: int, after: BanPlace | None = None) -> BanPage:
        time = accepted(await self._driver.execute("TIME"))
        now_ms = self._time_ms(time)
        members, has_more = await self._banned_members(now_ms, limit, after)
        if not members:
            return BanPage((), None)
        values = await self._driver.execute("MGET", *(b"banned:" + member for member, _ in members))
        bans = (
            self._read_ban(IdentifierType(member.split(b":", 1)[0].decode()), value, now_ms)
            for (member, _), value in zip(members, _optional_texts(values), strict=True)
        )
        last, until_ms = members[-1]
        place = BanPlace(until_ms, last.decode()) if has_more else None
        return BanPage(tuple(ban for ban in bans if ban is not None), place)

    async def bans_in_force(self) -> int:
        time = accepted(await self._driver.execute("TIME"))
        count = await self._driver.execute("ZCOUNT", self._names.ban_index, f"({self._time_ms(time)}", "+inf")
        return int(str(accepted(count)))

    async def _banned_members(
        self, now_ms: int, limit: int, after: BanPlace | None
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

    def _decide_keys(
        self, charges: Sequence[Charge], identifiers: Sequence[Identifier], session: str | None
    ) -> list[bytes]:
        names = self._names
        known = [names.identifier(identifier) for identifier in identifiers]
        windows = [names.identifier(c.identifier).window_prefix + self._window(c.policy) for c in charges]
        if len(charges) > CHARGES_MAX or len(set(windows)) != len(windows):
            check_charges(charges)
        return [
            self._index_frame,
            self._sentinel_frame,
            # The script does not look at it when no session is asked for.
            self._sentinel_frame if session is None else frame(names.session(session)),
            *[keys.ban_frame for keys in known],
            *map(frame, windows),
            *[keys.violations_frame for keys in known],
        ]

    def _plan_frame(
        self, with_session: bool, bannable: tuple[bool, ...], asked: tuple[tuple[int, Policy, int], ...]
    ) -> bytes:
        """What is always the same for requests of one kind, as one word of doubles."""
        numbers: list[int] = [*self._ban_numbers, with_session, len(bannable), len(asked), *bannable]
        for identifier, policy, cost in asked:
            numbers += (identifier, _ALGORITHMS[policy.algorithm], policy.limit, policy.period_ms, cost)
        return frame(struct.pack(f">{len(numbers)}d", *numbers))

    def _moment(self, operation: bytes, jitter: float) -> list[bytes]:
        now = _SERVER_TIME if self._now_ms is None else frame(self._now_ms())
        return [operation, now, frame(jitter_ppm(jitter))]

    async def _run_for(
        self, identifier: Identifier, operation: bytes, jitter: float, *more: bytes | int
    ) -> Reply:
        keys = self._names.identifier(identifier)
        return await self._script.run(
            [self._index_frame, keys.ban_frame, keys.violations_frame],
            [*self._moment(frame(operation), jitter), self._plan(False, (), ()), *map(frame, more)],
        )

    async def _name(self, identifier: Identifier) -> None:
        """Tells whom an automatic ban is about, so that it can be listed.

        The decision has been made and stands whatever becomes of this: an unnamed ban is named by the
        next request that it refuses.
        """
        try:
            await self._run_for(identifier, b"name", 0.0, self._sealed(identifier, REASON_VIOLATIONS))
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
        key = self._names.session(session)
        return [("SET", key, 1, "PX", ttl_ms, "NX"), ("PEXPIRE", key, ttl_ms, "GT")]

    def _time_ms(self, reply: Reply) -> int:
        if self._now_ms is not None:
            return self._now_ms()
        seconds, microseconds = map(int, _optional_texts(reply))
        return seconds * 1_000 + microseconds // 1_000


def _window_bytes(policy: Policy) -> bytes:
    return policy.window.encode()


def _policies_of(identifier: Identifier, charges: Sequence[Charge]) -> list[Policy]:
    return [charge.policy for charge in charges if charge.identifier == identifier]


def _integers(reply: Reply) -> list[int]:
    if not isinstance(reply, bytes):
        raise TypeError(f"the script answered {type(reply).__name__}")
    return list(map(int, reply.split()))


def _list(reply: Reply) -> list[Reply]:
    reply = accepted(reply)
    if not isinstance(reply, list):
        raise TypeError(f"a list was expected, not {type(reply).__name__}")
    return reply


def _optional_texts(reply: Reply) -> list[str]:
    """A list of strings; an empty one where there is none."""
    return [item.decode() if isinstance(item, bytes) else "" for item in _list(reply)]


def _proof(limiter: RedisLimiter) -> Limiter:
    """mypy holds the adapter to its port here."""
    return limiter
