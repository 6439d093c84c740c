"""What a rejection still needs before it is answered: the proof that it repeats nothing.

An append proves that its batch saw the head, and that the ids of what was posted are new. A rejection posts
nothing: its command may be the repeat of one whose first answer was lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from domain.ledger.commands import Command, PostTransfer, Submission
from domain.ledger.entries import Recorded
from domain.ledger.machine import repeat_of
from domain.ledger.outcomes import CommandOutcome, Outcomes, Posted, Rejected


class AbsentKeys:
    """Keys that the journal had not when its head was where the batch is decided: an append right after
    that head proves that they are new."""

    __slots__ = ("_keys", "_seq")

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._seq = 0

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def forget_before(self, seq: int) -> None:
        """Keys that were absent at another head may have come since."""
        if self._seq != seq:
            self._keys.clear()
            self._seq = seq

    def add(self, asked: Iterable[str], found: Mapping[str, Recorded]) -> None:
        """Adds what was asked for at this head and not found."""
        self._keys.update(key for key in asked if key not in found)


def rejected(batch: Sequence[Submission], outcomes: Outcomes) -> list[Command]:
    """The commands that were rejected."""
    if all(type(outcome) is Posted for results in outcomes for outcome in results):
        return []  # Nearly always.
    return [
        command
        for submission, results in zip(batch, outcomes, strict=True)
        for command, outcome in zip(submission.commands, results, strict=True)
        if isinstance(outcome, Rejected)
    ]


def keys_of_refusals(
    commands: Iterable[Command], known: Mapping[str, Recorded], absent: AbsentKeys
) -> list[str]:
    """Keys of rejected commands whose refusal is to be recorded, as far as they were not looked up at this
    head. A refusal is none before its ids are known to be new: the document that says so could not be taken
    back."""
    return [
        key
        for command in commands
        if _is_remembered(command)
        for key in command.keys
        if key not in known and key not in absent
    ]


def keys_of_rejections(
    commands: Iterable[Command], known: Mapping[str, Recorded], absent: AbsentKeys
) -> list[str]:
    """Keys of rejected commands that may be repeats, as far as they were not looked up."""
    return [
        key
        for command in commands
        if command.repeatable
        for key in command.keys
        if key not in known and key not in absent
    ]


def keys_of(batch: Sequence[Submission]) -> list[str]:
    """All keys of a batch's commands."""
    return [key for submission in batch for command in submission.commands for key in command.keys]


def with_repeats(
    batch: Sequence[Submission], outcomes: Outcomes, known: Mapping[str, Recorded]
) -> tuple[Outcomes, list[int]]:
    """The outcomes, rejections replaced by the first answers that the journal turned out to have, and the
    indices of submissions to be decided again: without a repeat among its rejections, the rest of an atomic
    one may well be posted."""
    settled: list[tuple[CommandOutcome, ...]] = []
    again: list[int] = []
    for index, submission in enumerate(batch):
        repeats = tuple(
            # A refusal that was recorded stands in the document: nothing found since changes it.
            (isinstance(outcome, Rejected) and not _is_remembered(command) and repeat_of(command, known))
            or outcome
            for command, outcome in zip(submission.commands, outcomes[index], strict=True)
        )
        if submission.atomic and repeats != outcomes[index]:
            again.append(index)
        settled.append(repeats)
    return settled, again


def _is_remembered(command: Command) -> bool:
    """Whether a refusal of the command is recorded in the journal."""
    return type(command) is PostTransfer and bool(command.refusal_keys)
