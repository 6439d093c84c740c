"""Batches of commands at random, as Hypothesis draws them or as they follow from a seed.

Most commands are about what an earlier one made, so that much of what is asked can be posted; a few are
about nothing, or use an id again. Times and amounts are few, so that things meet: at the same instant, at
the last credit.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from hypothesis import strategies as st

from domain.ledger.account import ISSUANCE, REVENUE
from domain.ledger.commands import Command, SettleDue, Submission
from domain.ledger.lots import PAID, PROMOTIONAL
from tests.domain.ledger import asking as ask
from tests.domain.ledger.asking import ACCOUNTS, ASSETS, DAY_MS, atomic, one
from tests.domain.ledger.oracle import Oracle

Some = TypeVar("Some")

AMOUNTS = (1, 2, 3, 5, 8, 10, 13, 20, 30, 60)
PAUSES = (*[0, 0, 1, 1, 4, 5, 9, 10, 10, 20] * 2, 100, DAY_MS)
LATER = (10, 20, 20, 30, 50, 100, DAY_MS)
KEYS = (None,) * 30 + ("k:1", "k:2", "k:3")

Batch = tuple[int, list[Submission]]
"""When it is decided, and what is asked."""


class Choice(Protocol):
    """`random.Random` is one."""

    def choice(self, seq: Sequence[Some], /) -> Some: ...


class Drawn:
    """Choices that Hypothesis makes, and shrinks."""

    def __init__(self, draw: st.DrawFn) -> None:
        self._draw = draw

    def choice(self, seq: Sequence[Some], /) -> Some:
        return self._draw(st.sampled_from(seq))


class Asker:
    """Makes up commands; the naive ledger tells it which ids there is something under."""

    def __init__(self, chance: Choice) -> None:
        self._chance = chance
        self._oracle = Oracle()
        self._given: list[tuple[str, str]] = []
        self._made: dict[str, list[str]] = {}
        self._asked: list[Command] = []
        self._count = 0
        self.now_ms = 1_000
        makers: list[tuple[int, Callable[[], Command]]] = [
            (6, self._transfer), (6, self._grant), (5, self._hold), (5, self._capture), (5, self._reverse),
            (2, self._void_hold), (2, self._void_grant), (1, self._rule), (1, self._remove_rule),
            (1, self._open), (2, self._look), (1, self._repeat),
        ]  # fmt: skip
        self._makers = [maker for weight, maker in makers for _ in range(weight)]

    def first_batch(self) -> Batch:
        """Opens most of the accounts, and fills some."""
        begun: list[Command] = [ask.usual_opening(account) for account in ACCOUNTS[:-1]]
        begun += [ask.received("alice", 20, id="seed-1"), ask.received("shop", 20, id="seed-2")]
        self._oracle.pass_time(self.now_ms)
        submissions = [one(command) for command in begun]
        for submission in submissions:
            self._oracle.submit(submission)
        return self.now_ms, submissions

    def next_batch(self) -> Batch:
        self.now_ms += self._pick(PAUSES)
        self._oracle.pass_time(self.now_ms)
        return self.now_ms, [self._submission() for _ in range(self._pick((1, 1, 2, 3, 5)))]

    def _submission(self) -> Submission:
        if self._rarely(6):
            submission = atomic(*(self._command() for _ in range(self._pick((1, 2, 3)))))
        else:
            submission = one(self._command())
        if "posted" in self._oracle.submit(submission):
            for prefix, name in self._given:
                self._made.setdefault(prefix, []).append(name)
        self._given.clear()
        return submission

    def _command(self) -> Command:
        command = self._pick(self._makers)()
        self._asked.append(command)
        return command

    def _pick(self, some: Sequence[Some]) -> Some:
        return self._chance.choice(some)

    def _rarely(self, of: int) -> bool:
        return self._pick(range(of)) == 0

    def _new(self, prefix: str) -> str:
        """A new id; now and then one that is taken, which makes a conflict."""
        made = self._made.get(prefix, [])
        if made and self._rarely(16):
            return self._pick(made)
        self._count += 1
        name = f"{prefix}-{self._count}"
        self._given.append((prefix, name))
        return name

    def _old(self, prefix: str) -> str:
        """One of the latest ids, of this submission or before; now and then one that nobody gave out."""
        latest = self._made.get(prefix, [])[-6:]
        latest += [name for kind, name in self._given if kind == prefix]
        return self._pick([*latest, "none"] if len(latest) < 6 else latest)

    def _account(self) -> str:
        return self._pick((*ACCOUNTS, *["alice", "bob", "carol"] * 4))

    def _other(self, account: str) -> str:
        return self._pick([each for each in (*[REVENUE] * 4, *ACCOUNTS, "bob", "shop") if each != account])

    def _transfer(self) -> Command:
        source = self._pick((*[self._account()] * 8, ISSUANCE, REVENUE))
        destination = self._pick(ACCOUNTS) if source in (ISSUANCE, REVENUE) else self._other(source)
        if source not in (ISSUANCE, REVENUE) and self._rarely(8):
            destination = ISSUANCE
        dated_back = self._pick((None, None, None, self.now_ms - 5))
        return ask.transfer(
            source, destination, self._pick(AMOUNTS[:9]), id=self._new("t"), key=self._pick(KEYS),
            effective_ms=dated_back, remembers_refusal=self._rarely(3),
        )  # fmt: skip

    def _grant(self) -> Command:
        begins = self._pick((None, None, None, 0, -10, *LATER[:4]))
        expires = self._pick((None, None, 0, *LATER))
        return ask.grant(
            self._account(), self._pick(AMOUNTS), id=self._new("g"), key=self._pick(KEYS),
            category=self._pick((PAID, PROMOTIONAL)), priority=self._pick((0, 5, 50, 50)),
            begins=None if begins is None else self.now_ms + begins,
            expires=None if expires is None else self.now_ms + expires,
        )  # fmt: skip

    def _hold(self) -> Command:
        account = self._account()
        return ask.hold(
            account, self._pick(AMOUNTS[:9]), id=self._new("h"), destination=self._other(account),
            expires_in=self._pick(LATER),
        )  # fmt: skip

    def _capture(self) -> Command:
        amount = self._pick((None, None, 1, 2, 5, 10))
        return ask.capture(self._old("h"), amount, id=self._new("c"), final=self._pick((True, False)))

    def _reverse(self) -> Command:
        amount = self._pick((None, None, 1, 2, 5, 10))
        what = self._pick(("t", "t", "c", "g", "r"))
        dated = self._pick((None, None, None, self.now_ms - 5, self.now_ms))
        return ask.reverse(self._old(what), amount, id=self._new("r"), effective_ms=dated)

    def _void_hold(self) -> Command:
        return ask.void_hold(self._old("h"), id=self._new("w"))

    def _void_grant(self) -> Command:
        return ask.void_grant(self._old("g"), id=self._new("v"))

    def _rule(self) -> Command:
        below, amount = self._pick(AMOUNTS), self._pick(AMOUNTS)
        to = below + amount if self._rarely(3) else None
        return ask.rule(
            self._account(), below, amount if to is None else 0, id=self._new("rule"), to=to,
            max_per_day=self._pick((1, 2, 5)), category=self._pick((PAID, PROMOTIONAL)),
        )  # fmt: skip

    def _remove_rule(self) -> Command:
        return ask.remove_rule(self._old("rule"), self._account())

    def _open(self) -> Command:
        account = self._account()
        if self._pick((True, False)):
            return ask.usual_opening(account)
        return ask.opening(account, self._pick(ASSETS), overdraft=7, key=self._pick(KEYS))

    def _look(self) -> Command:
        return SettleDue(self._account())

    def _repeat(self) -> Command:
        return self._pick(self._asked) if self._asked else self._look()


@st.composite
def plans(draw: st.DrawFn, batches_max: int = 12) -> list[Batch]:
    asker = Asker(Drawn(draw))
    batches = draw(st.integers(1, batches_max))
    return [asker.first_batch(), *(asker.next_batch() for _ in range(batches))]


def plan_of(seed: int, batches: int = 40) -> list[Batch]:
    """A long plan that follows from a seed."""
    asker = Asker(random.Random(seed))
    return [asker.first_batch(), *(asker.next_batch() for _ in range(batches))]
