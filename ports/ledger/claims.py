"""Claims to a book's next document: a writer that keeps losing to faster ones asks them to give way.

A courtesy, no lock: the journal's fence alone keeps writers apart.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol


class Claim(NamedTuple):
    """Who asks for its turn, and for how long yet, in milliseconds."""

    who: str
    left_ms: int


class Claims(Protocol):
    """By the clock of the store. Every call raises `DependencyUnavailable`."""

    async def make(self, book: str, who: str, *, for_ms: int) -> None:
        """Claims the book, unless another writer's claim stands."""

    async def standing(self, book: str) -> Claim | None: ...

    async def withdraw(self, book: str, who: str) -> None:
        """Removes the claim if it is this writer's."""
