"""A journal with rivals and faults in which commits are driven, effect by effect, by a drawn fate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from domain.ledger.account import AccountState
from domain.ledger.chain import AppendResult, JournalDocument
from domain.ledger.commands import Command, PostTransfer, Submission
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
    Load,
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
from domain.ledger.commit.machine import Commit, CommitLimits
from domain.ledger.machine import Decision
from domain.ledger.outcomes import CommandOutcome
from domain.ledger.replay import Accounts, Subjects, replay
from domain.ledger.subjects import Subject
from tests.domain.ledger.asking import grant, one, opening, received, transfer, usual_opening
from tests.domain.ledger.play import Play, play

LIMITS = CommitLimits(decisions_max=40, deciding_s_max=30.0, append_s_max=0.05)
EFFECTS_MAX = 2_000
"""A commit that asks for more than this is taken for endless."""
BOOK = "main"
NUMBERS = 12
"""Transfers that are asked for again and again."""


class View:
    """What one process knows, as `StateCache` keeps it: what is loaded may be ahead of its head."""

    def __init__(self, truth: Play) -> None:
        self._truth = truth
        self.known_accounts: dict[str, AccountState | None] = {}
        self.known_subjects: dict[str, Subject | None] = {}
        self.head = truth.head
        self._loaded_seq = 0

    @property
    def accounts(self) -> Accounts:
        return self.known_accounts

    @property
    def subjects(self) -> Subjects:
        return self.known_subjects

    @property
    def is_behind(self) -> bool:
        return self._loaded_seq > self.head.seq

    def load(self, accounts: Iterable[str], subjects: Iterable[str]) -> None:
        for key in accounts:
            if self.known_accounts.get(key) is None:
                self.known_accounts[key] = self._truth.accounts.get(key)
        for key in subjects:
            if self.known_subjects.get(key) is None:
                self.known_subjects[key] = self._truth.subjects.get(key)
        self._loaded_seq = self._truth.head.seq

    def catch_up(self) -> None:
        for document in self._truth.documents[self.head.seq :]:
            self._apply(document)

    def adopt(self, pending: Pending) -> None:
        document, decision, _ = pending
        if document.seq <= self.head.seq:
            return
        assert document.seq == self.head.seq + 1
        self._apply(document)
        for key, state in decision.changed.items():
            assert self.known_accounts.get(key, state) == state
        self.known_accounts.update(decision.changed)

    def _apply(self, document: JournalDocument) -> None:
        replayed = replay(self.known_accounts, document, self.known_subjects)
        self.known_accounts.update(replayed.accounts)
        self.known_subjects.update(replayed.subjects)
        self.head = document.head

    def forget(self) -> None:
        """Nothing that was loaded is there any more, as after a trim between two commits."""
        self.known_accounts.clear()
        self.known_subjects.clear()


class Fate:
    """What happens, as `draw` has it; nothing unusual does once it is `calm`."""

    def __init__(self, draw: Random) -> None:
        self._draw = draw
        self.calm = False

    def happens(self, percent: int) -> bool:
        return not self.calm and self._draw.randrange(100) >= 100 - percent  # 0, the simplest, is no.

    def below(self, bound: int) -> int:
        return self._draw.randrange(bound)


@dataclass(frozen=True, slots=True)
class Life:
    """One commit that ended; the truths before it and after each document since; what it sent."""

    batch: Sequence[Submission]
    end: Finished | GaveUp
    truths: Sequence[Play]
    nonces: frozenset[str]

    @property
    def outcomes(self) -> Sequence[tuple[CommandOutcome, ...]]:
        assert isinstance(self.end, Finished)
        return self.end.outcomes


class World:
    """The truth is a `Play`, which checks each document that enters it: chain, keys, balances."""

    def __init__(self, fate: Fate) -> None:
        self.fate = fate
        self.truth = play(usual_opening("alice"), usual_opening("bob"), received("alice", 100, id="first"))
        self.truths = [self.truth.copy()]
        self.view = View(self.truth)
        self.now_s = 0.0
        self.late: list[JournalDocument] = []
        """Sent, and on their way: each arrives later, if it still can, or never."""
        self.unacknowledged = False
        """A rival's document stands at the next number and no majority holds it."""
        self.unsettled: Pending | None = None
        self.sent: dict[str, Decision] = {}
        """By the document's nonce."""
        self.grants = 0
        self.moments = 0

    # --- driving

    def commit(self, batch: Sequence[Submission]) -> Life:
        """Drives one commit to its end."""
        if self.fate.happens(30):
            self.view.forget()
        first, nonces = len(self.truths) - 1, set[str]()
        commit = Commit(
            BOOK, batch, self.view, nonce=f"{self.moments:032x}", limits=LIMITS, earlier=self.unsettled
        )
        effect = commit.begin(self._moment())
        for _ in range(EFFECTS_MAX):
            if isinstance(effect, Finished | GaveUp):
                self.unsettled = commit.pending
                return Life(batch, effect, self.truths[first:], frozenset(nonces))
            if isinstance(effect, AppendDocument):
                assert commit.pending is not None
                assert commit.pending.document is effect.document
                nonces.add(effect.document.nonce)
                self.sent[effect.document.nonce] = commit.pending.decision
            effect = commit.advance(self._answer(effect), self._moment())
        raise AssertionError(f"a commit of {len(batch)} submissions finds no end")

    def _moment(self) -> Moment:
        self.moments += 1
        self.now_s += 0.001
        # The clock of the machine may be behind the one of another writer.
        return Moment(1_000 + self.moments, self.now_s)

    def _answer(self, effect: Effect) -> Answer:
        """Carries it out, with what others do before, or after."""
        self._others()
        answer = self.carried_out(effect)
        self._others()
        return answer

    def carried_out(self, effect: Effect) -> Answer:
        """Does what was asked, with all that may go wrong of itself."""
        match effect:
            case AwaitTurn():
                return TurnCame(gave_way=self.fate.happens(10))
            case CatchUp():
                self.view.catch_up()
                return TailRead()
            case Load(accounts, subjects):
                if not self.fate.happens(10):  # A load that was overtaken brings nothing.
                    self.view.load(accounts, subjects)
                return Loaded()
            case LookUp(keys):
                known = self.truth.known
                return Found({key: known[key] for key in keys if key in known})
            case AppendDocument(document):
                return Answered(self._sent(document))
            case ReadDocument(seq):
                documents = self.truth.documents
                return Standing(documents[seq - 1] if seq <= len(documents) else None)
            case Pause(seconds):
                self.now_s += seconds
                return Paused()
            case Adopt(pending):
                assert pending.document in self.truth.documents
                self.view.adopt(pending)
                return Adopted()
            case Finished() | GaveUp():
                raise AssertionError("an end is not carried out")

    # --- the journal

    def _sent(self, document: JournalDocument) -> AppendResult:
        if self.fate.happens(15):
            self.late.append(document)
            if self.fate.happens(50):
                self._arrive()
            return AppendResult.UNKNOWN
        if self.unacknowledged:
            return AppendResult.KEY_TAKEN if self.fate.happens(20) else AppendResult.SEQ_TAKEN
        return self._inserted(document)

    def _inserted(self, document: JournalDocument) -> AppendResult:
        repeats = any(key in self.truth.known for entry in document.entries for key in entry.keys)
        stands = document.seq <= len(self.truth.documents)
        if stands and not (repeats and self.fate.happens(50)):
            return AppendResult.SEQ_TAKEN
        if repeats:  # A unique index names one of the faults.
            return AppendResult.KEY_TAKEN
        assert document.seq == len(self.truth.documents) + 1
        self._insert(document)
        return AppendResult.APPENDED

    def _insert(self, document: JournalDocument) -> None:
        # Holds the decision against a replay on the true states.
        self.truth.append(document, self.sent[document.nonce])
        self.truths.append(self.truth.copy())

    def _arrive(self) -> None:
        document = self.late.pop(self.fate.below(len(self.late)))
        if not self.unacknowledged and document.previous == self.truth.head.digest:
            self._inserted(document)

    # --- the others

    def _others(self) -> None:
        fate = self.fate
        if fate.calm:
            self.unacknowledged = False
            self.late.clear()
            return
        if self.late and fate.happens(30):
            self._arrive()
        if self.unacknowledged and fate.happens(50):
            self.unacknowledged = False
            if fate.happens(50):
                self._rival()
        elif fate.happens(3):
            self.unacknowledged = True
        elif not self.unacknowledged and fate.happens(8):
            self._rival()
        if fate.happens(2):
            self.view.catch_up()  # A reader's look.
        if fate.happens(2):
            self.now_s += 1.0

    def _rival(self) -> None:
        """Another writer posts: a grant, or one of the transfers that this one may be asked for, too."""
        number = self.fate.below(2 * NUMBERS)
        is_keyed = number >= NUMBERS and self.fate.happens(50)
        self.grants += 1
        command: Command = (
            numbered(number, is_other=self.fate.happens(30), remembers_refusal=is_keyed)
            if self.fate.happens(50)
            else grant("alice", 5, id=f"grant-{self.grants}")
        )
        self.truth.commit([one(command)], time_ms=self.truth.now_ms + self.fate.below(20))
        if self.truth.head.seq != self.truths[-1].head.seq:
            self.truths.append(self.truth.copy())


def numbered(number: int, *, is_other: bool = False, remembers_refusal: bool = False) -> PostTransfer:
    """One of the transfers that clients repeat; or another one of the same id."""
    amount = 1 + number % 7 * 5 + is_other
    key = f"k:batch:{number}" if remembers_refusal else None
    return transfer("alice", "bob", amount, id=f"t{number}", key=key, remembers_refusal=remembers_refusal)


def drawn_batch(fate: Fate) -> list[Submission]:
    """One to five submissions, each of one or of several commands, atomic or not, repeats among them."""
    return [_drawn_submission(fate) for _ in range(1 + fate.below(5))]


def _drawn_submission(fate: Fate) -> Submission:
    kind = fate.below(6)
    if kind == 0:
        return one(opening(f"account-{fate.below(5)}"))
    remembers = kind == 1
    # A keyed request repeats the same commands under its key, so each has a number to itself.
    numbers = [fate.below(NUMBERS) + (NUMBERS if remembers else 0) for _ in range(1 + fate.below(3))]
    commands = tuple(numbered(number, remembers_refusal=remembers) for number in dict.fromkeys(numbers))
    return Submission(commands, atomic=kind == 2)
