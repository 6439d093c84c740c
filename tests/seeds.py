"""How many cases the tests draw that draw their own: a few in every run, many in `make test-long`."""

from __future__ import annotations

import os

from hypothesis import settings

FACTOR = int(os.environ.get("TEST_FACTOR", "1"))
"""`TEST_FACTOR=15` draws fifteen times as many seeds and examples."""

settings.register_profile("drawn", max_examples=60 * FACTOR)
settings.load_profile("drawn")


def seeds(count: int) -> range:
    """The seeds of one test: those of a short run are the first of a long one."""
    return range(count * FACTOR)


def examples(count: int) -> int:
    """How many examples one property is tried with."""
    return count * FACTOR
