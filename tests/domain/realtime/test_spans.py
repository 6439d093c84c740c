"""Spans of numbers, against the plain set that they stand for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.realtime.spans import SPANS_MAX, Spans

NUMBERS_MAX = 60
numbers = st.integers(1, NUMBERS_MAX)
steps = st.lists(st.tuples(st.sampled_from(["add", "forget"]), numbers, numbers), max_size=40)


@given(steps, numbers, numbers)
def test_spans_are_the_set_of_numbers_that_they_stand_for(
    steps: list[tuple[str, int, int]], first: int, last: int
) -> None:
    spans, known = Spans(), set[int]()
    for step, low, high in steps:
        if step == "add":
            spans.add(low, high)
            known |= set(range(low, high + 1))
        else:
            spans.forget_to(low)
            known -= set(range(low + 1))
    stood_for = [number for low, high in spans for number in range(low, high + 1)]
    assert stood_for == sorted(known)
    assert all(before[1] + 1 < after[0] for before, after in zip(spans, list(spans)[1:], strict=False))
    holes = [number for low, high in spans.missing(first, last) for number in range(low, high + 1)]
    assert holes == [number for number in range(first, last + 1) if number not in known]


def test_past_the_bound_the_lowest_span_is_forgotten_and_missing_again() -> None:
    spans = Spans()
    for place in range(SPANS_MAX + 1):
        spans.add(2 * place + 1, 2 * place + 1)
    assert len(spans) == SPANS_MAX
    assert spans.missing(1, 3) == [(1, 2)]
