"""How a decision is put to `limiter.lua`, and how its answer is read."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from adapters.redis.driver.resp import Reply, frame
from adapters.redis.key_names import IdentifierKeys, KeyNames, SessionKeys
from adapters.redis.limits.script import Script
from domain.limits.admission import Admission, Charge, Standing, Verdict, check_charges
from domain.limits.bans import BanPolicy
from domain.limits.identifiers import Identifier
from domain.limits.windows import Algorithm, Policy

PLANS_CACHED_MAX = 1_024
REQUESTS_CACHED_MAX = 8_192

# As limiter.lua numbers them.
VERDICTS = (Verdict.BANNED, Verdict.REVOKED, Verdict.QUOTA_EXCEEDED, Verdict.ALLOWED)
_ALGORITHMS = {Algorithm.FIXED_WINDOW: 0, Algorithm.SLIDING_WINDOW: 1, Algorithm.GCRA: 2}
_ESCALATED = 2
_DECIDE = frame(b"decide")
_REFUND = frame(b"refund")
_VIOLATE = frame(b"violate")
_SERVER_TIME = frame(b"")
_NO_JITTER = frame(0)


class DecisionReply(NamedTuple):
    """A decision, and what `limiter.lua` told beside it."""

    admission: Admission
    unnamed: bool = False
    """The ban that refuses cannot be listed yet."""


class Said(NamedTuple):
    """The script's answer to one call."""

    verdict: Verdict
    known: bool
    """Whether the revocations of the session's slot are."""
    retry_after_ms: int
    who: int
    """Counted from 1: of the banned an identifier, or a network after them; over a limit a charge."""
    newly: int
    named: bool
    now_ms: int
    numbers: Sequence[int]
    """Per charge the rest, when it is whole and, of a call that does not blame, since when it counts."""


class _RequestWords(NamedTuple):
    """The part of a decision's call that is the same each time."""

    words: bytes
    """The keys, framed, without the session's."""
    keys_count: int
    plan: bytes
    route: bytes
    policies: list[Policy]


class Calls:
    """The script's calls about identifiers that are counted. Jitters are framed already."""

    def __init__(
        self, *, script: Script, names: KeyNames, ban_policy: BanPolicy, now_ms: Callable[[], int] | None
    ) -> None:
        self._script = script
        self._names = names
        self._now_ms = now_ms
        self.may_blame = ban_policy.blames
        """Whether violations of a type of identifier count."""
        self._ban_numbers = (
            *(ban_policy.threshold, ban_policy.base_ms, ban_policy.max_ms),
            *(ban_policy.half_life_ms, ban_policy.violations_ttl_ms),
        )
        self.ban_plan = _doubles(self._ban_numbers)
        """The plan of the operations about one identifier."""
        self._plan = lru_cache(maxsize=PLANS_CACHED_MAX)(self._packed_plan)
        self._requests: dict[tuple[object, ...], _RequestWords] = {}
        self._taken_plan = lru_cache(maxsize=PLANS_CACHED_MAX)(_packed_charges)

    def moment(self) -> bytes:
        """The script's time: Redis's own, or a test's."""
        return _SERVER_TIME if self._now_ms is None else frame(self._now_ms())

    async def decide(
        self,
        charges: Sequence[Charge],
        keys: Sequence[IdentifierKeys],
        session: SessionKeys | None,
        jitter: bytes,
        *,
        blames: bool,
    ) -> Said:
        """One call; all its keys share a slot. `keys` are those of each charge's identifier."""
        request = self._request(charges, keys, with_session=session is not None, blames=blames)
        words, count, route = request.words, request.keys_count, request.route
        if session is not None:
            words = session.both_frames + words
            count, route = count + 2, session.session
        tail = b"".join((_DECIDE, self.moment(), jitter, request.plan))
        reply = await self._script.run_joined(count, words, 4, tail, route)
        verdict, known, retry_after_ms, who, newly, named, now_ms, *numbers = integers(reply)
        return Said(VERDICTS[verdict], known == 1, retry_after_ms, who, newly, named == 1, now_ms, numbers)

    def _request(
        self, charges: Sequence[Charge], keys: Sequence[IdentifierKeys], *, with_session: bool, blames: bool
    ) -> _RequestWords:
        """The same clients come again and again, and most of what they are asked with is the same."""
        policies = [charge.policy for charge in charges]
        # Ids, which cost nothing to hash: what is remembered keeps its policies, so no other gets theirs.
        asked = (with_session, blames, *keys, *map(id, policies), *[charge.cost for charge in charges])
        requests = self._requests
        if (known := requests.get(asked)) is not None:
            return known
        if len(requests) >= REQUESTS_CACHED_MAX:
            del requests[next(iter(requests))]
        made = requests[asked] = self._make_request(charges, keys, policies, with_session, blames)
        return made

    def _make_request(
        self,
        charges: Sequence[Charge],
        keys: Sequence[IdentifierKeys],
        policies: list[Policy],
        with_session: bool,
        blames: bool,
    ) -> _RequestWords:
        check_charges(charges)
        identifiers, networks = concerned(keys)
        words = [
            *[key.ban_frame for key in identifiers],
            *[key.ban_frame for key in networks],
            *[key.window_frame(policy) for key, policy in zip(keys, policies, strict=True)],
            *[key.violations_frame for key in identifiers],
            *[key.violations_frame for key in networks],
            *[key.subnet_bans_frame for key in networks],
        ]
        plan = self._plan(
            with_session,
            blames,
            len(networks),
            tuple(
                [
                    (self.may_blame(k.identifier.type), networks.index(k.network) + 1 if k.network else 0)
                    for k in identifiers
                ]
            ),
            tuple([(identifiers.index(k) + 1, c.policy, c.cost) for k, c in zip(keys, charges, strict=True)]),
        )
        return _RequestWords(b"".join(words), len(words), plan, keys[0].ban if keys else b"", policies)

    async def refund(
        self, charges: Sequence[Charge], keys: Sequence[IdentifierKeys], sinces: Iterable[int]
    ) -> Sequence[int]:
        """Undoes the charges of a call that did not blame; per charge the rest and when it is whole."""
        windows = [key.window_frame(charge.policy) for key, charge in zip(keys, charges, strict=True)]
        plan = self._taken_plan(tuple([(charge.policy, charge.cost) for charge in charges]))
        arguments = [_REFUND, self.moment(), _NO_JITTER, plan, *map(frame, sinces)]
        return integers(await self._script.run(windows, arguments, keys[0].ban))

    async def violate(self, identifier: Identifier, jitter: bytes) -> Sequence[int]:
        """The end and level of the ban that it led to, and the end of its network's; 0 for none."""
        keys = self._names.identifier(identifier)
        words = [keys.ban_frame, keys.violations_frame]
        if (network := keys.network) is not None:
            words += [network.ban_frame, network.violations_frame, network.subnet_bans_frame]
        arguments = [_VIOLATE, self.moment(), jitter, self.ban_plan]
        return integers(await self._script.run(words, arguments, keys.ban))

    def _packed_plan(
        self,
        with_session: bool,
        blames: bool,
        networks: int,
        identifiers: tuple[tuple[bool, int], ...],
        charges: tuple[tuple[int, Policy, int], ...],
    ) -> bytes:
        """The part that is the same for all requests of one kind, as one word of doubles."""
        numbers: list[int] = [with_session, len(identifiers), networks, len(charges), blames]
        for _, policy, cost in charges:
            numbers += (_ALGORITHMS[policy.algorithm], policy.limit, policy.period_ms, cost)
        numbers += self._ban_numbers
        for may_blame, network in identifiers:
            numbers += (may_blame, network)
        numbers += [identifier for identifier, _, _ in charges]
        return _doubles(numbers)


def concerned(keys: Sequence[IdentifierKeys]) -> tuple[list[IdentifierKeys], list[IdentifierKeys]]:
    """Each identifier once, in the order of the charges, and each of their networks once."""
    identifiers = list(dict.fromkeys(keys))
    networks = [key.network for key in identifiers if key.network is not None]
    return identifiers, networks if len(networks) < 2 else list(dict.fromkeys(networks))


def answer(
    said: Said, charges: Sequence[Charge], keys: Sequence[IdentifierKeys], known: bool
) -> DecisionReply:
    """One call's decision; `known` is whether all revocations of sessions are."""
    verdict, _, retry_after_ms, who, newly, named, _, numbers = said
    if verdict is Verdict.BANNED:
        identifiers, networks = concerned(keys)
        identifier = (*identifiers, *networks)[who - 1].identifier
        refusal = Admission(
            *(verdict, retry_after_ms, identifier),
            newly_banned=newly > 0,
            escalated=newly == _ESCALATED,
            revocations_known=known,
        )
        return DecisionReply(refusal, not named)
    standings = tuple(map(Standing, charges, numbers[::2], numbers[1::2]))
    identifier_over = charges[who - 1].identifier if who else None
    return DecisionReply(
        Admission(verdict, retry_after_ms, identifier_over, standings, revocations_known=known)
    )


def integers(reply: Reply) -> list[int]:
    """The line of integers that the script answers."""
    if not isinstance(reply, bytes):
        raise TypeError(f"the script answered {type(reply).__name__}")
    return list(map(int, reply.split()))


def _packed_charges(charges: tuple[tuple[Policy, int], ...]) -> bytes:
    numbers: list[int] = []
    for policy, cost in charges:
        numbers += (_ALGORITHMS[policy.algorithm], policy.limit, policy.period_ms, cost)
    return _doubles(numbers)


def _doubles(numbers: Sequence[int]) -> bytes:
    return frame(struct.pack(f">{len(numbers)}d", *numbers))
