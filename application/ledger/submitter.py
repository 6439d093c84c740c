"""Where the commands of a book go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from domain.ledger.commands import Submission
from domain.ledger.outcomes import Outcomes


class Submitter(Protocol):
    """Commits commands: in this process, or in the worker that holds the book."""

    async def submit(self, submissions: Sequence[Submission]) -> Outcomes:
        """Decides and commits; one tuple of outcomes a submission, in order.

        Raises `Overloaded` (nothing was taken) and `DependencyUnavailable`: then it may or may
        not have been posted, and sending the same id again tells.
        """

    async def checkpoint(self, keys: Sequence[str]) -> None:
        """Has the states of these accounts saved again, whether or not something changed them."""

    async def let_go(self) -> None:
        """Another worker may hold the book from now on; what is still asked of this one it appends alone."""

    async def stop(self, *, give_up_s: float | None = None) -> None:
        """Lets go, and writes the checkpoints that wait, until `give_up_s` of the runtime's clock. Without
        them nothing is lost but the time of loading their accounts."""
