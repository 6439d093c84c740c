"""A decision whose keys lie in several slots of a cluster: one call a slot, all at the same time.

No script sees two slots, so between them there is no one atomic step. Each call takes from its own windows
and blames no identifier. Where one refuses, the others give back what they took, and one identifier is
blamed, as one call would have done it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeAlias

from adapters.redis.driver.interface import RedisDriver
from adapters.redis.key_names import IdentifierKeys, SessionKeys
from adapters.redis.limits.decision import VERDICTS, Calls, DecisionReply, Said, answer
from domain.limits.admission import Admission, Charge, Standing, Verdict, check_charges
from ports.errors import DependencyUnavailable

_Work: TypeAlias = Callable[[], Awaitable[Sequence[int]]]


class SlotPart(NamedTuple):
    """The part of a decision that lies in one slot."""

    numbers: list[int]
    """Of the charges, counted from 0."""
    charges: list[Charge]
    keys: list[IdentifierKeys]
    session: SessionKeys | None


class _Told(NamedTuple):
    part: SlotPart
    said: Said


def parts_of(
    redis: RedisDriver, charges: Sequence[Charge], keys: Sequence[IdentifierKeys], session: SessionKeys | None
) -> list[SlotPart]:
    """One a slot, in the order of the charges; the session's own is the last."""
    check_charges(charges)
    session_slot = None if session is None else redis.slot(session.session)
    slots: dict[int, list[int]] = {}
    for number, key in enumerate(keys):
        slots.setdefault(redis.slot(key.ban), []).append(number)
    if session_slot is not None:
        slots.setdefault(session_slot, [])
    return [
        SlotPart(
            numbers,
            [charges[number] for number in numbers],
            [keys[number] for number in numbers],
            session if slot == session_slot else None,
        )
        for slot, numbers in slots.items()
    ]


async def decide_in_parts(
    calls: Calls,
    redis: RedisDriver,
    parts: Sequence[SlotPart],
    jitter: bytes,
    is_known: Callable[[bool], bool],
) -> DecisionReply:
    """The answer of them all. `is_known` judges what the session's slot says of its revocations.

    Raises `DependencyUnavailable` when any slot gave no answer; others may have taken then.
    """
    said = await redis.together(
        [partial(calls.decide, part.charges, part.keys, part.session, jitter, blames=False) for part in parts]
    )
    told = [_Told(part, one) for part, one in zip(parts, said, strict=True)]
    known = all(is_known(one.known) for part, one in told if part.session is not None)
    verdict = min((one.verdict for one in said), key=VERDICTS.index)
    if verdict is Verdict.ALLOWED:
        return DecisionReply(Admission(verdict, standings=_standings(told, {}), revocations_known=known))
    if verdict is Verdict.QUOTA_EXCEEDED:
        return await _over(calls, redis, told, jitter, known)
    await _undo(calls, redis, told, [])
    refusing = [one for one in told if one.said.verdict is verdict]
    part, last = max(refusing, key=lambda one: one.said.retry_after_ms)
    return answer(last, part.charges, part.keys, known)


async def _over(
    calls: Calls, redis: RedisDriver, told: Sequence[_Told], jitter: bytes, known: bool
) -> DecisionReply:
    over = [
        (part.numbers[said.who - 1], part.charges[said.who - 1].identifier, said.now_ms)
        for part, said in told
        if said.verdict is Verdict.QUOTA_EXCEEDED
    ]
    # The first that can be blamed in the order of the charges, else the first.
    _, offender, now_ms = min(over, key=lambda charge: (not calls.may_blame(charge[1].type), charge[0]))
    may_blame = calls.may_blame(offender.type)
    blames: list[_Work] = [partial(calls.violate, offender, jitter)] if may_blame else []
    given_back, bans = await _undo(calls, redis, told, blames)
    for ends_ms, _, wide_ends_ms in bans:
        if ends_ms:
            refusal = Admission(
                *(Verdict.BANNED, max(ends_ms, wide_ends_ms) - now_ms, offender),
                newly_banned=True,
                escalated=wide_ends_ms > 0,
                revocations_known=known,
            )
            return DecisionReply(refusal, unnamed=True)
    retry_after_ms = max(said.retry_after_ms for _, said in told)
    standings = _standings(told, given_back)
    return DecisionReply(
        Admission(Verdict.QUOTA_EXCEEDED, retry_after_ms, offender, standings, revocations_known=known)
    )


async def _undo(
    calls: Calls,
    redis: RedisDriver,
    told: Sequence[_Told],
    blames: Sequence[_Work],
) -> tuple[dict[int, Sequence[int]], Sequence[Sequence[int]]]:
    """Gives back all that was taken, and blames; the answers by part, and those to blaming.

    The request is refused even when this fails: a charge that cannot be given back stays taken until its
    window has passed.
    """
    taken: list[tuple[int, _Work]] = [
        (number, partial(calls.refund, part.charges, part.keys, said.numbers[2::3]))
        for number, (part, said) in enumerate(told)
        if said.verdict is Verdict.ALLOWED and part.charges
    ]
    try:
        works: list[_Work] = [*(work for _, work in taken), *blames]
        done = await redis.together(works)
    except DependencyUnavailable:
        return {}, []
    given_back = dict(zip((number for number, _ in taken), done, strict=False))
    return given_back, done[len(taken) :]


def _standings(told: Sequence[_Told], given_back: Mapping[int, Sequence[int]]) -> tuple[Standing, ...]:
    """In the order of the charges, after charges were given back."""
    standings: dict[int, Standing] = {}
    for number, (part, said) in enumerate(told):
        remaining, resets = said.numbers[0::3], said.numbers[1::3]
        if number in given_back:
            remaining, resets = given_back[number][0::2], given_back[number][1::2]
        standings.update(zip(part.numbers, map(Standing, part.charges, remaining, resets), strict=True))
    return tuple(standings[number] for number in sorted(standings))
