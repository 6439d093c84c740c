"""What an outside can do wrong, in words every adapter translates its driver's exceptions into."""

from __future__ import annotations


class DependencyUnavailable(Exception):
    """A dependency refused, timed out or is away. What was asked may or may not have happened."""

    def __init__(self, dependency: str, reason: str = "") -> None:
        super().__init__(f"{dependency}: {reason}" if reason else dependency)
        self.dependency = dependency


class OutcomeUnknown(DependencyUnavailable):
    """A write that was neither acknowledged nor refused: it may have happened, or happen yet.

    Whoever asked must look (or write the same again, idempotently) before deciding anything on it.
    """
