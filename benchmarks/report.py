"""The table, on the terminal and as a page of the documentation."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.rows import Figure, Goal, Meaning, Row

COLUMNS = ("work", "ours", "peer", "peer's", "ratio", "goal", "", "load", "command")


@dataclass(frozen=True, slots=True)
class Run:
    """How the rows were measured, and where."""

    rounds: int
    seconds: float
    commit: str
    servers: str
    notes: tuple[str, ...]


def markdown(rows: Sequence[Row], run: Run) -> str:
    """The page; its drawing stands beside it as `results.svg`."""
    lines = [
        "# Measured side by side",
        "",
        "How to read this: [benchmarks/README.md](../../benchmarks/README.md).",
        "",
        *_conditions(run),
        "",
        "![Ratio of each row to its peer, and the goal](results.svg)",
        "",
        _line(COLUMNS),
        _line(["---"] * len(COLUMNS)),
        *(_line(cells(row)) for row in rows),
        "",
        *_notes(run),
    ]
    return "\n".join(lines).rstrip() + "\n"


def plain(rows: Sequence[Row], run: Run) -> str:
    """The same for a terminal, columns in line."""
    table = [list(COLUMNS), *(cells(row) for row in rows)]
    widths = [max(len(line[place]) for line in table) for place in range(len(COLUMNS))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    ]
    return "\n".join([*lines, "", *_conditions(run), *_notes(run)])


def cells(row: Row) -> list[str]:
    ratio = "" if row.ratio is None else f"{row.ratio:.3g} ×"
    before, after = row.load
    return [
        row.work,
        _figure(row.ours, row.unit),
        "" if row.peer is None else f"{row.peer.name} ({row.peer.versions})",
        "" if row.peer is None else _figure(row.peer, row.unit),
        ratio,
        "" if row.goal is None else _goal(row.goal, row.unit),
        {True: "reached", False: "short", None: ""}[row.reached],
        f"{before:.1f} → {after:.1f}",
        f"`{row.command}`",
    ]


def _figure(figure: Figure, unit: str) -> str:
    return f"{number(figure.median)} {unit} ({number(figure.least)} … {number(figure.most)})".replace(
        "  ", " "
    )


def number(value: float) -> str:
    """Three figures that mean something; more would be noise."""
    if value >= 1_000:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"


def _goal(goal: Goal, unit: str) -> str:
    match goal.meaning:
        case Meaning.RATIO_AT_LEAST:
            return f"≥ {goal.value:.3g} ×"
        case Meaning.AT_LEAST:
            return f"≥ {number(goal.value)} {unit}".rstrip()
        case Meaning.AT_MOST:
            return f"≤ {number(goal.value)} {unit}".rstrip()


def _conditions(run: Run) -> list[str]:
    machine = f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}"
    said = (
        f"Commit {run.commit}; {machine}; Python {platform.python_version()}; {run.servers}. Medians of "
        f"{run.rounds} rounds of {run.seconds:g} s, sides in turn (A B A B), range in brackets. Load: the "
        "machine's load average before and after a row, this measurement included. Other work went on on "
        "the machine, so the ratio of the two sides of one row says more than any figure alone."
    )
    return [said]


def _notes(run: Run) -> list[str]:
    return [f"- {note}" for note in run.notes]


def _line(found: Sequence[str]) -> str:
    return f"| {' | '.join(found)} |"
