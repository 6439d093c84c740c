"""A batch in parts, each decided and appended by itself, and its outcomes put together again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from domain.ledger.commands import Submission
from domain.ledger.outcomes import CommandOutcome, Outcomes


class Part(NamedTuple):
    """Submissions that go into one document, if one can hold them."""

    batch: Sequence[Submission]
    places: Sequence[int]
    """Their indices in the whole batch."""
    is_rest: bool = False
    """Whether its only submission is a later piece of one that was cut: outcomes come after the earlier's."""

    def halves(self) -> tuple[Part, Part] | None:
        """The part in two, cut between submissions or within the only one; None for what must go into one
        document."""
        batch, places, is_rest = self
        if len(batch) > 1:
            middle = len(batch) // 2
            return Part(batch[:middle], places[:middle]), Part(batch[middle:], places[middle:])
        commands, is_atomic = batch[0]
        if is_atomic or len(commands) == 1:
            return None
        middle = len(commands) // 2
        return (
            Part((Submission(commands[:middle]),), places, is_rest),
            Part((Submission(commands[middle:]),), places, is_rest=True),
        )


class Parts:
    """The parts that are still to be committed, in order, and the outcomes of the others."""

    __slots__ = ("_outcomes", "_waiting")

    def __init__(self, batch: Sequence[Submission]) -> None:
        self._waiting = [Part(batch, range(len(batch)))]
        self._outcomes: list[tuple[CommandOutcome, ...]] = [()] * len(batch)

    @property
    def outcomes(self) -> Outcomes:
        """Complete when no part is left."""
        return self._outcomes

    def next(self) -> Part | None:
        """The next part, which does not wait any more; None when there is none."""
        return self._waiting.pop() if self._waiting else None

    def put_back(self, halves: tuple[Part, Part]) -> None:
        """The two come next."""
        self._waiting += reversed(halves)

    def finish(self, part: Part, outcomes: Outcomes, again: Sequence[int]) -> None:
        """Keeps the outcomes of a part; the submissions at the indices in `again` come next, once more."""
        kept = self._outcomes
        for place, results in zip(part.places, outcomes, strict=True):
            kept[place] = kept[place] + results if part.is_rest else results
        if again:
            self._waiting.append(
                Part([part.batch[index] for index in again], [part.places[index] for index in again])
            )
