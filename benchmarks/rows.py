"""A row of the table: one figure of ours, maybe a peer's, and the goal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from benchmarks.contenders import Comparison, Measured
from tests.servers.mongod import MongodServer
from tests.servers.redis_server import RedisServer


class Meaning(Enum):
    """What the goal speaks of."""

    RATIO_AT_LEAST = "ours ÷ peer at least"
    AT_LEAST = "at least"
    AT_MOST = "at most"


@dataclass(frozen=True, slots=True)
class Goal:
    """No goal where a row is only there to explain another."""

    meaning: Meaning
    value: float


@dataclass(frozen=True, slots=True)
class Figure:
    """A contender's median and the range of its rounds."""

    name: str
    versions: str
    median: float
    least: float
    most: float


@dataclass(frozen=True, slots=True)
class Row:
    work: str
    unit: str
    ours: Figure
    peer: Figure | None
    goal: Goal | None
    load: tuple[float, float]
    command: str

    @property
    def ratio(self) -> float | None:
        """How much more ours does than the peer."""
        return None if self.peer is None or not self.peer.median else self.ours.median / self.peer.median

    @property
    def reached(self) -> bool | None:
        """None where there is no goal, or nothing to hold against it."""
        if self.goal is None:
            return None
        if self.goal.meaning is Meaning.AT_LEAST:
            return self.ours.median >= self.goal.value
        if self.goal.meaning is Meaning.AT_MOST:
            return self.ours.median <= self.goal.value
        return None if self.ratio is None else self.ratio >= self.goal.value


@dataclass(frozen=True, slots=True)
class Bench:
    """What a group of rows is measured with. Servers run only for the groups that use them."""

    mongod: MongodServer
    redis: RedisServer
    secrets: Path
    rounds: int
    seconds: float
    full: bool
    python: str
    python_with_peers: Callable[[], Path]
    folder_with_medici: Callable[[], Path]
    note: Callable[[str], None]


Group = Callable[[Bench], Sequence[Row]]


def figure_of(measured: Measured, figure: str) -> Figure:
    versions = ", ".join(f"{name} {version}" for name, version in measured.versions.items())
    least, most = measured.spread(figure)
    return Figure(measured.name, versions, measured.median(figure), least, most)


def row(
    comparison: Comparison,
    *,
    work: str,
    figure: str,
    unit: str,
    group: str,
    goal: Goal | None = None,
    against: int | None = None,
) -> Row:
    """`against` is the peer's place among the contenders; ours is the first."""
    ours = comparison.measured[0]
    peer = None if against is None else figure_of(comparison.measured[against], figure)
    return Row(
        work=work,
        unit=unit,
        ours=figure_of(ours, figure),
        peer=peer,
        goal=goal,
        load=(comparison.load_before, comparison.load_after),
        command=f"python -m benchmarks --only {group}",
    )
