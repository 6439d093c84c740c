"""The table drawn: a bar a row, on a logarithmic scale of how far its goal was reached."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from xml.sax.saxutils import escape

from benchmarks.report import number
from benchmarks.rows import Meaning, Row

WIDTH, ROW_HEIGHT, TOP, LABELS, VALUES = 960, 26, 46, 470, 120
LABEL_CHARACTERS_MAX = 64
LEAST, MOST = 0.1, 10.0
REACHED, SHORT, INK, FAINT = "#2e7d52", "#b3562e", "#24292f", "#c9d1d9"


def svg(rows: Sequence[Row]) -> str:
    """Rows with a goal only; 1 on the scale is the goal, to the right of it is better."""
    drawn = [(row, degree) for row in rows if (degree := degree_of(row)) is not None]
    height = TOP + ROW_HEIGHT * len(drawn) + 16
    size = f'viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="system-ui, sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        *_scale(height),
        *(part for place, (row, degree) in enumerate(drawn) for part in _bar(place, row, degree)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def degree_of(row: Row) -> float | None:
    """How many times over the goal is reached; below 1 it is not."""
    if row.goal is None or row.reached is None:
        return None
    if row.goal.meaning is Meaning.AT_MOST:
        return row.goal.value / row.ours.median if row.ours.median else MOST
    value = row.ratio if row.goal.meaning is Meaning.RATIO_AT_LEAST else row.ours.median
    return None if value is None else value / row.goal.value


def _x(degree: float) -> float:
    held = min(MOST, max(LEAST, degree))
    share = math.log(held / LEAST) / math.log(MOST / LEAST)
    return LABELS + share * (WIDTH - LABELS - VALUES)


def _scale(height: int) -> Iterator[str]:
    for degree, label in (
        (0.1, "⅒"),
        (0.5, "½"),
        (1.0, "the goal"),
        (2.0, "2 ×"),
        (5.0, "5 ×"),
        (10.0, "10 ×"),
    ):
        x = _x(degree)
        colour = INK if degree == 1.0 else FAINT
        yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 8}" y2="{height - 12}" stroke="{colour}"/>'
        yield f'<text x="{x:.1f}" y="{TOP - 16}" text-anchor="middle" fill="{INK}">{label}</text>'


def _bar(place: int, row: Row, degree: float) -> Iterator[str]:
    y = TOP + place * ROW_HEIGHT
    start, end = sorted((_x(1.0), _x(degree)))
    colour = REACHED if row.reached else SHORT
    label = row.work.replace("`", "")
    if len(label) > LABEL_CHARACTERS_MAX:
        label = label[: LABEL_CHARACTERS_MAX - 1] + "…"
    if row.goal is not None and row.goal.meaning is Meaning.RATIO_AT_LEAST and row.peer is not None:
        label += f" ÷ {row.peer.name.split(',')[0]}"
        value = f"{row.ratio or 0:.3g} ×"
    else:
        value = f"{number(row.ours.median)} {row.unit}"
    text = y + ROW_HEIGHT / 2
    yield f'<text x="{LABELS - 10}" y="{text:.1f}" text-anchor="end" fill="{INK}">{escape(label)}</text>'
    yield (
        f'<rect x="{start:.1f}" y="{y + 1}" width="{max(1.0, end - start):.1f}" height="{ROW_HEIGHT - 10}" '
        f'fill="{colour}"/>'
    )
    yield f'<text x="{WIDTH - VALUES + 8}" y="{text:.1f}" fill="{INK}">{escape(value)}</text>'
