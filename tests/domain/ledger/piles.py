"""What the naive oracle remembers: credits in piles, and who they belong to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

NEVER = 10**30


@dataclass
class Pile:
    """What of a grant lies in its account, reserved by nobody."""

    grant: str
    credits: int
    priority: int
    category: str
    expires: int
    age: int


@dataclass
class Grant:
    """`status`: pending, active, expired or voided."""

    id: str
    account: str
    amount: int
    priority: int
    category: str
    begins: int
    expires: int
    status: str = "pending"
    age: int = 0


@dataclass
class Hold:
    """What was reserved, in the order in which it is captured; a part of no grant is plain (None)."""

    id: str
    account: str
    destination: str
    expires: int
    parts: list[tuple[str | None, int]]
    status: str = "pending"
    captured: int = 0

    @property
    def left(self) -> int:
        return sum(units for _, units in self.parts)


@dataclass
class Transfer:
    """`parts` is what of it was not reversed, first burnt first."""

    source: str
    destination: str
    parts: list[tuple[str | None, int]]
    counts_from: int
    kind: str = "transfer"


@dataclass
class Rule:
    id: str
    below: int
    amount: int
    category: str
    max_per_day: int
    to: int | None = None
    acted: Counter[int] = field(default_factory=Counter)


@dataclass
class Box:
    """One account. `piles` in no order: each use sorts them anew."""

    asset: str
    user: str | None = None
    overdraft: int | None = 0
    plain: int = 0
    piles: list[Pile] = field(default_factory=list)
    rules: list[Rule] = field(default_factory=list)

    def burn_down(self) -> list[Pile]:
        return sorted(self.piles, key=lambda pile: (pile.priority, pile.expires, pile.age))

    @property
    def available(self) -> int:
        return self.plain + sum(pile.credits for pile in self.piles)


@dataclass
class Books:
    """Everything that a rejected batch must leave as it was."""

    boxes: dict[str, Box] = field(default_factory=dict)
    grants: dict[str, Grant] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    transfers: dict[str, Transfer] = field(default_factory=dict)
    answers: dict[str, str] = field(default_factory=dict)
    refusals: dict[str, tuple[str, str]] = field(default_factory=dict)
    issued: int = 0
