"""Commands and outcomes as plain JSON values and back, for another process of the same version.

A value is an array: of its kind, where that is not plain from its place, and of its fields in the order in
which its class has them. A tuple is an array as it stands, so writing costs next to nothing; reading checks
each field against its type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from types import NoneType, UnionType
from typing import Any, Final, cast, get_args, get_origin, get_type_hints

from domain.ledger.commands import (
    BookDue,
    CaptureHold,
    Command,
    IssueGrant,
    OpenAccount,
    PlaceHold,
    PostTransfer,
    RemoveRule,
    ReverseTransfer,
    SetRule,
    Submission,
    VoidGrant,
    VoidHold,
)
from domain.ledger.entries import Entry, Recorded, TransferPosted
from domain.ledger.outcomes import Outcome, Posted, Rejected, Rejection
from domain.ledger.records import CAUSES, KINDS, kind_of

Value = Any
"""What JSON can say; a tuple stands for an array."""

COMMANDS: Final[dict[type[Command], str]] = {
    PostTransfer: "transfer",
    OpenAccount: "account",
    IssueGrant: "grant",
    VoidGrant: "void_grant",
    ReverseTransfer: "reverse",
    PlaceHold: "hold",
    CaptureHold: "capture",
    VoidHold: "void_hold",
    SetRule: "rule",
    RemoveRule: "remove_rule",
    BookDue: "due",
}

_Read = Callable[[Value], Any]


def value_of_submission(submission: Submission) -> Value:
    return submission.atomic, [(COMMANDS[type(command)], command) for command in submission.commands]


def submission_of(value: Value) -> Submission:
    """The submission that `value_of_submission` made this value of; ValueError for any other value."""
    atomic, commands = _array(value, 2)
    return Submission(tuple([_command_of(each) for each in _array(commands)]), _boolean(atomic))


def value_of_outcomes(outcomes: Sequence[Outcome]) -> Value:
    return [_value_of_outcome(outcome) for outcome in outcomes]


def outcomes_of(value: Value) -> tuple[Outcome, ...]:
    """The outcomes that `value_of_outcomes` made this value of; ValueError for any other value."""
    return tuple([_outcome_of(each) for each in _array(value)])


def _command_of(value: Value) -> Command:
    kind, fields = _array(value, 2)
    return cast("Command", _one_of(_COMMAND_KINDS, kind)(fields))


def _value_of_outcome(outcome: Outcome) -> Value:
    if isinstance(outcome, Rejected):
        return outcome.reason.value
    entry, seq, time_ms = outcome.recorded
    return kind_of(entry), entry, seq, time_ms, outcome.replayed


def _outcome_of(value: Value) -> Outcome:
    if isinstance(value, str):
        return Rejected(Rejection(value))
    kind, fields, seq, time_ms, replayed = _array(value, 5)
    entry = cast("Entry", _one_of(_ENTRY_KINDS, kind)(fields))
    return Posted(Recorded(entry, _integer(seq), _integer(time_ms)), _boolean(replayed))


def _one_of(kinds: dict[str, _Read], kind: Value) -> _Read:
    read = kinds.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise ValueError(f"no kind {kind!r:.40}")
    return read


def _array(value: Value, length: int | None = None) -> Sequence[Value]:
    if not isinstance(value, list | tuple) or length not in (None, len(value)):
        raise ValueError("not an array of the length that it must have")
    return value


def _text(value: Value) -> str:
    if type(value) is not str:
        raise ValueError("not text")
    return value


def _integer(value: Value) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError("not an integer of 64 bits")
    return value


def _boolean(value: Value) -> bool:
    if type(value) is not bool:
        raise ValueError("neither true nor false")
    return value


def _nothing(value: Value) -> None:
    if value is not None:
        raise ValueError("not null")


_PLAIN: Final[dict[Any, _Read]] = {str: _text, int: _integer, bool: _boolean, NoneType: _nothing}


@cache
def _reader_of(hint: Any) -> _Read:
    """Reads a value of this type: plain, optional, a tuple, or a named tuple."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    parts = [part for part in get_args(hint) if part is not Ellipsis]
    if isinstance(hint, UnionType):
        (some,) = [part for part in parts if part is not NoneType]
        return _optional(_reader_of(some))
    if get_origin(hint) is tuple:
        readers = [_reader_of(part) for part in parts]
        return _many(readers[0]) if Ellipsis in get_args(hint) else _fields(tuple, readers)
    return _named(hint)


def _optional(read: _Read) -> _Read:
    return lambda value: None if value is None else read(value)


def _many(read: _Read) -> _Read:
    return lambda value: tuple([read(each) for each in _array(value)])


def _fields(make: Callable[[list[Any]], Any], readers: Sequence[_Read]) -> _Read:
    length = len(readers)

    def read(value: Value) -> Any:
        return make([each(field) for each, field in zip(readers, _array(value, length), strict=True)])

    return read


def _named(kind: Any, **special: _Read) -> _Read:
    """`special` reads the fields whose type leaves open which of several classes it is."""
    hints = get_type_hints(kind)
    readers = [special.get(name) or _reader_of(hints[name]) for name in kind._fields]
    return _fields(lambda fields: kind(*fields), readers)


_COMMAND_KINDS: Final[dict[str, _Read]] = {kind: _named(made) for made, kind in COMMANDS.items()}
_ENTRY_KINDS: Final[dict[str, _Read]] = {
    **{kind: _named(made) for made, kind in KINDS.items() if made is not TransferPosted},
    KINDS[TransferPosted]: _named(TransferPosted, cause=_nothing),
    **{kind: _named(TransferPosted, cause=_named(cause)) for cause, kind in CAUSES.items()},
}
