"""The commit of one batch, as a sans-IO machine in the manner of h11.

Effects come out, what came of them goes in; the machine never reads, writes or waits. All that can happen
between the arrival of a batch and its outcomes stands in `CASES`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from domain.ledger.chain import AppendResult, JournalDocument, seal
from domain.ledger.commands import Command, Submission
from domain.ledger.commit.cases import CASES, Phase, Step
from domain.ledger.commit.decider import Decider
from domain.ledger.commit.effects import (
    Adopt,
    Adopted,
    Answer,
    Answered,
    AppendDocument,
    AwaitTurn,
    CatchUp,
    Effect,
    Finished,
    Found,
    GaveUp,
    LedgerView,
    Loaded,
    LookUp,
    Moment,
    Pause,
    Paused,
    Pending,
    ReadDocument,
    Standing,
    TailRead,
    TurnCame,
)
from domain.ledger.commit.parts import Part, Parts
from domain.ledger.commit.proofs import (
    AbsentKeys,
    keys_of,
    keys_of_refusals,
    keys_of_rejections,
    rejected,
    with_repeats,
)
from domain.ledger.commit.sizes import is_too_large
from domain.ledger.crossings import crossings
from domain.ledger.entries import Recorded
from domain.ledger.machine import Decision
from domain.ledger.outcomes import Outcomes

PAUSE_S: Final = 0.02
"""How long the same bytes wait before they go out again; twice as long after each time."""
PAUSE_S_MAX: Final = 1.0


@dataclass(frozen=True, slots=True)
class CommitLimits:
    """A part is decided anew, because other writers were faster, `decisions_max` times and `deciding_s_max`
    long. The same bytes go out for `append_s_max` while their arrival is unknown; the last try may
    add the store's own bound to it."""

    decisions_max: int = 1_000
    deciding_s_max: float = 5.0
    append_s_max: float = 8.0


class Commit:
    """One batch, from its arrival to its outcomes. Misuse raises RuntimeError."""

    __slots__ = (
        "_absent", "_asked", "_book", "_decided_at_seq", "_decider", "_decision", "_decisions_left",
        "_give_up_s", "_in_doubt", "_is_earlier", "_is_nonce_used", "_known", "_limits", "_moved",
        "_nonce", "_part", "_parts", "_pause_s", "_phase", "_reason", "_rejected", "_result",
        "_send_until_s", "_sending", "_view",
    )  # fmt: skip

    _part: Part
    """From `NEXT_PART` on; the two below from `TURN` and `DECIDING` on."""
    _decider: Decider
    _decision: Decision
    _sending: Pending
    """The document that is on its way, or was the last; from `SENDING` on."""

    def __init__(
        self,
        book: str,
        batch: Sequence[Submission],
        view: LedgerView,
        *,
        nonce: str,
        limits: CommitLimits,
        earlier: Pending | None = None,
    ) -> None:
        """`nonce` was never given before. `earlier` is what the commit before this one left `pending`."""
        self._book = book
        self._view = view
        self._nonce = nonce
        """Of the newest document: another one has another, so that the two are not taken for each other."""
        self._is_nonce_used = False
        self._limits = limits
        self._phase = Phase.NEW
        self._parts = Parts(batch)
        self._known: dict[str, Recorded] = {}
        """What the journal turned out to have under keys of the batch."""
        self._is_earlier = earlier is not None
        """Whether the document on its way is the earlier one."""
        self._in_doubt = False
        if earlier is not None:
            self._sending = earlier
            self._in_doubt = True
        self._give_up_s = 0.0
        self._decisions_left = 0
        self._absent = AbsentKeys()
        self._rejected: Sequence[Command] = ()
        self._asked: Sequence[str] = ()
        self._result = AppendResult.UNKNOWN
        self._pause_s = 0.0
        self._send_until_s = 0.0
        self._decided_at_seq = 0
        self._moved = False
        self._reason = ""

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def pending(self) -> Pending | None:
        """What was sent and is not known to be in the journal, nor that it never will be."""
        return self._sending if self._in_doubt else None

    def begin(self, now: Moment) -> Effect:
        """The first effect."""
        if self._phase is not Phase.NEW:
            raise RuntimeError("a commit begins once")
        if not self._is_earlier:
            return self._go(Step.HAS_PART, now)
        self._deliver(self._sending, now)
        return self._go(Step.HAS_EARLIER, now)

    def advance(self, answer: Answer, now: Moment) -> Effect:
        """The next effect, after what came of the last one."""
        return self._go(self._take(answer, now), now)

    def _go(self, step: Step, now: Moment) -> Effect:
        while True:
            self._phase = CASES[self._phase][step]
            came = self._enter(now)
            if not isinstance(came, Step):
                return came
            step = came

    def _enter(self, now: Moment) -> Effect | Step:
        """What is asked for in a phase; a step where nothing has to be."""
        match self._phase:
            case Phase.TURN:
                return self._await_turn(now)
            case Phase.DECIDING:
                return self._decide(now)
            case Phase.NEXT_PART:
                return self._next_part(now)
            case Phase.SENDING:
                return AppendDocument(self._sending.document)
            case Phase.ADOPTING:
                return Adopt(self._sending)
            case Phase.FINISHED:
                return Finished(self._parts.outcomes)
            case Phase.FAILED:
                return GaveUp(self._reason)
            case _:
                return self._ask_others()

    def _ask_others(self) -> Effect:
        """What is asked for where other writers, earlier tries or rejections have to be looked at."""
        match self._phase:
            case Phase.GAVE_WAY | Phase.EARLIER_LOST | Phase.REPEATED | Phase.CHECKING:
                return CatchUp()
            case Phase.OVERTAKEN:
                return CatchUp(lost=True)
            case Phase.PROVING_REFUSALS | Phase.CONFIRMING | Phase.RECHECKING:
                return LookUp(self._asked)
            case Phase.FINDING:
                return LookUp(keys_of(self._part.batch))
            case Phase.READING:
                return ReadDocument(self._sending.document.seq)
            case Phase.LOOKING_UP:
                return LookUp([key for entry in self._sending.document.entries for key in entry.keys])
            case Phase.PAUSING:
                return self._pause()
            case _:
                raise RuntimeError(f"nothing is asked for in {self._phase.name}")

    def _take(self, answer: Answer, now: Moment) -> Step:
        """What comes of an answer in a phase."""
        match (self._phase, answer):
            case (Phase.TURN, TurnCame(gave_way)):
                self._decider = Decider(self._part.batch, self._known, self._view)
                return Step.GAVE_WAY if gave_way else Step.CAME
            case (Phase.SENDING, Answered(result)):
                return self._answered(result)
            case (Phase.ADOPTING, Adopted()):
                return self._adopted()
            case (Phase.DECIDING, Loaded() | TailRead()):
                return Step.DONE
            case (Phase.PAUSING, Paused()):
                return self._paused(now)
            case _:
                return self._take_of_others(answer)

    def _take_of_others(self, answer: Answer) -> Step:
        match (self._phase, answer):
            case (Phase.GAVE_WAY | Phase.EARLIER_LOST | Phase.OVERTAKEN | Phase.REPEATED, TailRead()):
                return Step.DONE
            case (Phase.PROVING_REFUSALS, Found(recorded)):
                self._known.update(recorded)
                self._absent.add(self._asked, recorded)
                return Step.DONE
            case (Phase.FINDING, Found(recorded)):
                self._known.update(recorded)
                return Step.DONE
            case (Phase.CONFIRMING, Found(recorded)):
                return self._confirmed(recorded)
            case (Phase.CHECKING, TailRead()):
                return self._checked()
            case (Phase.RECHECKING, Found(recorded)):
                return self._rechecked(recorded)
            case (Phase.READING, Standing(document)):
                return self._stands(document)
            case (Phase.LOOKING_UP, Found(recorded)):
                return self._lost(Step.KEY_TAKEN) if recorded else Step.UNPROVED
            case _:
                raise RuntimeError(f"{type(answer).__name__} does not answer {self._phase.name}")

    # --- a part's turn, and its decision

    def _next_part(self, now: Moment) -> Step:
        part = self._parts.next()
        if part is None:
            return Step.HAS_NONE
        self._part = part
        self._is_earlier = False
        self._give_up_s = now.monotonic_s + self._limits.deciding_s_max
        self._decisions_left = self._limits.decisions_max
        self._absent = AbsentKeys()
        return Step.HAS_PART

    def _await_turn(self, now: Moment) -> Effect | Step:
        if not self._decisions_left or now.monotonic_s >= self._give_up_s:
            self._reason = "other writers were faster too often"
            return Step.BOUND_REACHED
        self._decisions_left -= 1
        return AwaitTurn()

    def _decide(self, now: Moment) -> Effect | Step:
        came = self._decider.next(now.now_ms)
        if isinstance(came, Decision):
            return self._judge(came, now)
        if came is None:
            self._reason = "the journal grew faster than it could be read"
            return Step.BOUND_REACHED
        return came

    def _judge(self, decision: Decision, now: Moment) -> Step:
        part = self._part
        if is_too_large(decision.entries) and (halves := part.halves()) is not None:
            self._parts.put_back(halves)
            return Step.TOO_LARGE
        self._decision = decision
        self._decided_at_seq = self._view.head.seq
        self._absent.forget_before(self._decided_at_seq)
        self._rejected = rejected(part.batch, decision.outcomes)
        self._asked = keys_of_refusals(self._rejected, self._known, self._absent)
        if self._asked:
            return Step.REFUSES
        if not decision.entries:
            return Step.RECORDS_NOTHING
        if self._is_nonce_used:
            self._nonce = _next_nonce(self._nonce)
        self._is_nonce_used = True
        view, time_ms = self._view, decision.time_ms
        document = seal(self._book, view.head, decision.entries, time_ms=time_ms, nonce=self._nonce)
        self._deliver(Pending(document, decision, crossings(view.accounts, decision.changed, time_ms)), now)
        return Step.RECORDS

    # --- a document on its way into the journal

    def _deliver(self, pending: Pending, now: Moment) -> None:
        self._sending = pending
        self._in_doubt = True
        self._pause_s = PAUSE_S
        self._send_until_s = now.monotonic_s + self._limits.append_s_max

    def _answered(self, result: AppendResult) -> Step:
        self._result = result
        if result is AppendResult.APPENDED:
            self._in_doubt = False
            return Step.APPENDED
        return Step.UNPROVED if result is AppendResult.UNKNOWN else Step.TAKEN

    def _stands(self, document: JournalDocument | None) -> Step:
        if document is None:
            return Step.KEY_TAKEN if self._result is AppendResult.KEY_TAKEN else Step.UNPROVED
        if document.nonce == self._sending.document.nonce:
            self._in_doubt = False
            return Step.APPENDED
        return self._lost(Step.SEQ_TAKEN)

    def _lost(self, step: Step) -> Step:
        self._in_doubt = False
        return Step.EARLIER_LOST if self._is_earlier else step

    def _pause(self) -> Effect:
        pause_s = self._pause_s
        self._pause_s = min(pause_s * 2, PAUSE_S_MAX)
        return Pause(pause_s)

    def _paused(self, now: Moment) -> Step:
        if now.monotonic_s < self._send_until_s:
            return Step.DONE
        self._reason = f"document {self._sending.document.seq} was not acknowledged"
        return Step.BOUND_REACHED

    def _adopted(self) -> Step:
        if self._is_earlier:
            return Step.EARLIER_ADOPTED
        return self._unproved() or self._finish(self._decision.outcomes)

    # --- what others have done, and what has to be proved

    def _confirmed(self, recorded: Mapping[str, Recorded]) -> Step:
        # What this very document posted was decided after the rejection, which repeats nothing of it.
        seq = self._sending.document.seq
        found = {key: each for key, each in recorded.items() if each.seq != seq}
        self._known.update(found)
        outcomes = self._decision.outcomes
        if not found:
            return self._finish(outcomes)
        settled, again = with_repeats(self._part.batch, outcomes, self._known)
        return self._finish(settled, again)

    def _checked(self) -> Step:
        # Also what a reader has brought into the view since the decision, before the tail was read for it.
        self._moved = self._view.head.seq != self._decided_at_seq
        if (step := self._unproved()) is not None:
            return step
        return Step.OUTDATED if self._moved else self._finish(self._decision.outcomes)

    def _rechecked(self, recorded: Mapping[str, Recorded]) -> Step:
        self._known.update(recorded)
        if self._moved or recorded:
            return Step.OUTDATED
        return self._finish(self._decision.outcomes)

    def _unproved(self) -> Step | None:
        self._asked = keys_of_rejections(self._rejected, self._known, self._absent)
        return Step.UNPROVED if self._asked else None

    def _finish(self, outcomes: Outcomes, again: Sequence[int] = ()) -> Step:
        self._parts.finish(self._part, outcomes, again)
        return Step.PROVED


def _next_nonce(nonce: str) -> str:
    """As unlike every other one as the first was; of the same form."""
    return hashlib.sha256(nonce.encode()).hexdigest()[: len(nonce)]
