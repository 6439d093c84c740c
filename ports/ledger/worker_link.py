"""Workers of one host that share a book: one of them holds it, the others hand their commands to it.

Only a shortcut past the journal's fence, which keeps any number of writers safe: a worker that cannot
reach the holder may append by itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from domain.ledger.commands import Submission
from domain.ledger.outcomes import Outcomes

Serve = Callable[[Sequence[Submission]], Awaitable[Outcomes]]
"""Decides and commits for another worker. Raises `Overloaded` and `DependencyUnavailable`."""


class LinkUnusable(Exception):
    """This cannot be handed over: no descriptors, too many books, too large, another version."""


class Declined(Exception):
    """The worker that was asked lets the book go. It took nothing of this, and never will."""


class BookHold(Protocol):
    """This worker holds the book, and answers the others."""

    async def lost(self) -> None:
        """Returns when others cannot find this worker any more, so that one of them may hold the book too;
        and when it was released."""

    async def release(self) -> None:
        """Takes nothing more, answers what it took, within a bound, and lets another worker hold the book."""


class Link(Protocol):
    """The way to the worker that holds the book."""

    @property
    def is_silent(self) -> bool:
        """Whether the holder says nothing, as one does that is stopped, or an answer of it is overdue."""

    async def submit(self, submissions: Sequence[Submission]) -> Outcomes:
        """What the holder answers. What it raised is raised here: `Overloaded`, `DependencyUnavailable`,
        the latter also when no answer came in time. Else `LinkUnusable`, `Declined` or `OutcomeUnknown`:
        the holder is gone, or says nothing at all; what was handed to it may be posted, or may yet be.
        """

    async def ended(self) -> None:
        """Returns when the holder is gone, or has let the book go."""

    def close(self) -> None:
        """What is still under way ends as `OutcomeUnknown`."""


class WorkerLink(Protocol):
    """What the workers of one host share. Both raise `LinkUnusable`."""

    async def hold(self, book: str, serve: Serve) -> BookHold | None:
        """Holds the book, unless another worker does. A worker that dies holds nothing from then on."""

    async def reach(self, book: str) -> Link | None:
        """None while no worker answers for the book."""
