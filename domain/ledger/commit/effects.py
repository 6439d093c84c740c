"""The values that leave the commit machine, for its driver to carry out, and the answers that enter it.

Each effect names the answer that it waits for. An effect that cannot be carried out ends the commit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from domain.ledger.chain import AppendResult, Head, JournalDocument
from domain.ledger.crossings import Crossings
from domain.ledger.entries import Recorded
from domain.ledger.machine import Decision
from domain.ledger.outcomes import Outcomes
from domain.ledger.replay import Accounts, Subjects


class LedgerView(Protocol):
    """What the process knows of a book. Effects change it; the machine sees it as it is at each answer."""

    @property
    def head(self) -> Head:
        """The last document whose changes the states have."""

    @property
    def accounts(self) -> Accounts:
        """States by key, as of `head` or later; None for an account that does not exist."""

    @property
    def subjects(self) -> Subjects:
        """Holds, grants and transfers by key, likewise."""

    @property
    def is_behind(self) -> bool:
        """Whether a state is of a later document than `head`: nothing may be decided before `CatchUp`."""


class Moment(NamedTuple):
    """The time of an answer."""

    now_ms: int
    """Milliseconds since the epoch, for entries."""
    monotonic_s: float
    """Seconds of a clock that never runs back, for bounds."""


class Pending(NamedTuple):
    """A decision and the document that it goes into, until both are known to count or not. `crossings`
    compare with the states from before: while an append is under way a reader may move these on."""

    document: JournalDocument
    decision: Decision
    crossings: Crossings


# --- out of the machine


class AwaitTurn(NamedTuple):
    """Wait until this writer may append; answer with `TurnCame`."""


class CatchUp(NamedTuple):
    """Take over all documents that a majority held when this was asked; answer with `TailRead`."""

    lost: bool = False
    """Whether another writer's document stands where this one's should: it counts in taking turns."""


class Load(NamedTuple):
    """Bring these states into the view; answer with `Loaded`."""

    accounts: Iterable[str]
    subjects: Iterable[str]


class LookUp(NamedTuple):
    """Ask the journal what it has under these keys; answer with `Found`."""

    keys: Sequence[str]


class AppendDocument(NamedTuple):
    """Send the document to the journal, once; answer with `Answered`."""

    document: JournalDocument


class ReadDocument(NamedTuple):
    """Read the document that stands at this number; answer with `Standing`."""

    seq: int


class Pause(NamedTuple):
    """Wait; answer with `Paused`."""

    seconds: float


class Adopt(NamedTuple):
    """The document counts: take its decision over into the view, and tell of it; answer with `Adopted`."""

    pending: Pending


class Finished(NamedTuple):
    """The end: one tuple of outcomes a submission, in order. No answer."""

    outcomes: Outcomes


class GaveUp(NamedTuple):
    """The end: a bound was reached. What was posted of the batch is not known. No answer."""

    reason: str


Request = AwaitTurn | CatchUp | Load | LookUp | AppendDocument | ReadDocument | Pause | Adopt
Effect = Request | Finished | GaveUp


# --- into the machine


class TurnCame(NamedTuple):
    gave_way: bool
    """Whether others have appended meanwhile."""


class TailRead(NamedTuple):
    """What came of it is in the view."""


class Loaded(NamedTuple):
    """Whether or not all of it could be kept: the machine looks again."""


class Found(NamedTuple):
    recorded: Mapping[str, Recorded]
    """By key; keys that the journal has not are left out."""


class Answered(NamedTuple):
    result: AppendResult


class Standing(NamedTuple):
    document: JournalDocument | None
    """None where no majority holds one."""


class Paused(NamedTuple):
    """The time is in the moment."""


class Adopted(NamedTuple):
    """The view has the document."""


Answer = TurnCame | TailRead | Loaded | Found | Answered | Standing | Paused | Adopted
