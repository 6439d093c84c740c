"""One decision on states that are all there, and all as of one document."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from domain.ledger.commands import Submission
from domain.ledger.commit.effects import CatchUp, LedgerView, Load
from domain.ledger.entries import Recorded
from domain.ledger.machine import Decision, decide
from domain.ledger.prefetch import prefetch_keys

LOOKS_MAX: Final = 64
"""How often states are loaded for one decision, because the journal's head ran away from them."""


class Decider:
    """Asks for states until nothing is missing, then decides without awaiting anything in between."""

    __slots__ = ("_batch", "_commands", "_known", "_looks", "_missing", "_view")

    def __init__(self, batch: Sequence[Submission], known: Mapping[str, Recorded], view: LedgerView) -> None:
        """`known` is what the journal has under the commands' keys, as far as they were looked up."""
        self._batch = batch
        self._commands = [command for submission in batch for command in submission.commands]
        self._known = known
        self._view = view
        self._missing: frozenset[str] = frozenset()
        """Subjects that a decision turned out to need."""
        self._looks = 0

    def next(self, now_ms: int) -> Decision | Load | CatchUp | None:
        """The decision, or what it needs first: carry that out and ask again. None after `LOOKS_MAX`."""
        view = self._view
        while self._looks < LOOKS_MAX:
            self._looks += 1
            accounts, subjects = prefetch_keys(self._commands, view.accounts, view.subjects)
            if self._missing:
                subjects.update(key for key in self._missing if key not in view.subjects)
            if accounts or subjects:
                return Load(accounts, subjects)
            if view.is_behind:
                return CatchUp()
            decision = decide(
                view.accounts,
                self._batch,
                known=self._known,
                seq=view.head.seq + 1,
                time_ms=max(now_ms, view.head.time_ms),
                subjects=view.subjects,
            )
            if not decision.missing:
                return decision
            self._missing |= decision.missing
        return None
