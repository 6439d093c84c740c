"""All that can happen between the arrival of a batch and its outcomes, in one table."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, auto
from typing import Final

# Integers: they are compared and looked up several times as fast as other members.


class Phase(IntEnum):
    """What the machine waits for, or does."""

    NEW = auto()
    NEXT_PART = auto()
    """The batch is one part, unless its document would be too large or an atomic submission has to be
    decided again."""
    TURN = auto()
    GAVE_WAY = auto()
    """The tail is read: others have appended."""
    DECIDING = auto()
    PROVING_REFUSALS = auto()
    """Refusals that are to be recorded are looked up before they are."""
    SENDING = auto()
    READING = auto()
    """The append was refused; whose document stands there is read with a majority."""
    LOOKING_UP = auto()
    """No document stands there, so one of the keys should be in the journal."""
    PAUSING = auto()
    """Nothing is proved either way: an unacknowledged document may still go away, or arrive."""
    ADOPTING = auto()
    EARLIER_LOST = auto()
    """The tail is read: something stands where the earlier document should, or posted one of its keys."""
    OVERTAKEN = auto()
    """The tail is read: another writer's document stands there."""
    REPEATED = auto()
    """The tail is read: a key is in the journal already."""
    FINDING = auto()
    """All keys of the part are looked up: an index names one repeat only."""
    CONFIRMING = auto()
    """A document was appended; the rejections beside it are looked up."""
    CHECKING = auto()
    """No document proves anything; the tail is read."""
    RECHECKING = auto()
    """And the rejections are looked up."""
    FINISHED = auto()
    FAILED = auto()


class Step(IntEnum):
    """What came of a phase."""

    HAS_EARLIER = auto()
    HAS_PART = auto()
    HAS_NONE = auto()
    CAME = auto()
    GAVE_WAY = auto()
    DONE = auto()
    """What was asked for is there."""
    TOO_LARGE = auto()
    REFUSES = auto()
    RECORDS = auto()
    RECORDS_NOTHING = auto()
    APPENDED = auto()
    TAKEN = auto()
    SEQ_TAKEN = auto()
    KEY_TAKEN = auto()
    UNPROVED = auto()
    EARLIER_ADOPTED = auto()
    EARLIER_LOST = auto()
    PROVED = auto()
    OUTDATED = auto()
    BOUND_REACHED = auto()


CASES: Final[Mapping[Phase, Mapping[Step, Phase]]] = {
    # What an earlier batch left without an answer comes first: decided without it, something may be refused
    # that is posted when it arrives after all.
    Phase.NEW: {Step.HAS_EARLIER: Phase.SENDING, Step.HAS_PART: Phase.NEXT_PART},
    Phase.NEXT_PART: {Step.HAS_PART: Phase.TURN, Step.HAS_NONE: Phase.FINISHED},
    Phase.TURN: {
        Step.CAME: Phase.DECIDING,
        Step.GAVE_WAY: Phase.GAVE_WAY,
        Step.BOUND_REACHED: Phase.FAILED,
    },
    Phase.GAVE_WAY: {Step.DONE: Phase.DECIDING},
    Phase.DECIDING: {
        Step.DONE: Phase.DECIDING,
        Step.TOO_LARGE: Phase.NEXT_PART,
        Step.REFUSES: Phase.PROVING_REFUSALS,
        Step.RECORDS: Phase.SENDING,
        Step.RECORDS_NOTHING: Phase.CHECKING,
        Step.BOUND_REACHED: Phase.FAILED,
    },
    Phase.PROVING_REFUSALS: {Step.DONE: Phase.TURN},
    Phase.SENDING: {
        Step.APPENDED: Phase.ADOPTING,
        Step.TAKEN: Phase.READING,
        Step.UNPROVED: Phase.PAUSING,
    },
    Phase.READING: {
        Step.APPENDED: Phase.ADOPTING,
        Step.SEQ_TAKEN: Phase.OVERTAKEN,
        Step.EARLIER_LOST: Phase.EARLIER_LOST,
        Step.KEY_TAKEN: Phase.LOOKING_UP,
        Step.UNPROVED: Phase.PAUSING,
    },
    Phase.LOOKING_UP: {
        Step.KEY_TAKEN: Phase.REPEATED,
        Step.EARLIER_LOST: Phase.EARLIER_LOST,
        Step.UNPROVED: Phase.PAUSING,
    },
    Phase.PAUSING: {Step.DONE: Phase.SENDING, Step.BOUND_REACHED: Phase.FAILED},
    Phase.ADOPTING: {
        Step.EARLIER_ADOPTED: Phase.NEXT_PART,
        Step.UNPROVED: Phase.CONFIRMING,
        Step.PROVED: Phase.NEXT_PART,
    },
    Phase.EARLIER_LOST: {Step.DONE: Phase.NEXT_PART},
    Phase.OVERTAKEN: {Step.DONE: Phase.TURN},
    Phase.REPEATED: {Step.DONE: Phase.FINDING},
    Phase.FINDING: {Step.DONE: Phase.TURN},
    Phase.CONFIRMING: {Step.PROVED: Phase.NEXT_PART},
    Phase.CHECKING: {
        Step.UNPROVED: Phase.RECHECKING,
        Step.OUTDATED: Phase.TURN,
        Step.PROVED: Phase.NEXT_PART,
    },
    Phase.RECHECKING: {Step.OUTDATED: Phase.TURN, Step.PROVED: Phase.NEXT_PART},
    Phase.FINISHED: {},
    Phase.FAILED: {},
}
"""Every case there is."""
