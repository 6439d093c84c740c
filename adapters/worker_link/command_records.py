"""Commands and outcomes as plain JSON values and back, for another process of the same version.

A value is an array: of its kind, where that is not plain from its place, and of its fields in the order in
which its class has them. A tuple is written as an array as it stands, which costs next to nothing; reading
checks each field against its type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from types import NoneType, UnionType
from typing import Any, Final, NamedTuple, cast, get_args, get_origin, get_type_hints

from domain.ledger.commands import (
    CaptureHold,
    Command,
    IssueGrant,
    OpenAccount,
    PlaceHold,
    PostTransfer,
    RemoveRule,
    ReverseTransfer,
    SetRule,
    SettleDue,
    Submission,
    VoidGrant,
    VoidHold,
)
from domain.ledger.entries import Entry, Recorded, TransferPosted
from domain.ledger.outcomes import CommandOutcome, Posted, Rejected, Rejection, Settled
from domain.ledger.records import CAUSES, KINDS, kind_of

Value = Any
"""What JSON can say. Written, a tuple stands for an array."""

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
    SettleDue: "due",
}

SETTLED: Final = "settled"

_Read = Callable[[Value], Any]


def value_of_submission(submission: Submission) -> Value:
    return submission.atomic, [(COMMANDS[type(command)], command) for command in submission.commands]


def submission_of(value: Value) -> Submission:
    """The submission that `value_of_submission` made this value of; ValueError for any other value."""
    atomic, commands = _array(value, 2)
    return Submission(tuple([_command_of(each) for each in _array(commands)]), _boolean(atomic))


def value_of_outcomes(outcomes: Sequence[CommandOutcome]) -> Value:
    return [_value_of_outcome(outcome) for outcome in outcomes]


def outcomes_of(value: Value) -> tuple[CommandOutcome, ...]:
    """The outcomes that `value_of_outcomes` made this value of; ValueError for any other value."""
    return tuple([_outcome_of(each) for each in _array(value)])


def _command_of(value: Value) -> Command:
    kind, fields = _array(value, 2)
    return cast("Command", _one_of(_COMMAND_KINDS, kind)(_array(fields)))


def _value_of_outcome(outcome: CommandOutcome) -> Value:
    if isinstance(outcome, Rejected):
        reason, about, replayed = outcome
        return (reason.value, about, replayed) if about or replayed else reason.value
    if isinstance(outcome, Settled):
        return SETTLED, outcome.account
    entry, seq, time_ms = outcome.recorded
    return kind_of(entry), entry, seq, time_ms, outcome.replayed


def _outcome_of(value: Value) -> CommandOutcome:
    if isinstance(value, str):
        return Rejected(Rejection(value))
    if type(value) is list and len(value) == 2 and value[0] == SETTLED:
        return Settled(_text(value[1]))
    if type(value) is list and len(value) == 3:
        reason, about, replayed = value
        return Rejected(Rejection(reason), _text(about), _boolean(replayed))
    kind, fields, seq, time_ms, replayed = _array(value, 5)
    entry = cast("Entry", _one_of(_ENTRY_KINDS, kind)(_array(fields)))
    return Posted(Recorded(entry, _integer(seq), _integer(time_ms)), _boolean(replayed))


def _one_of(kinds: dict[str, _Read], kind: Value) -> _Read:
    read = kinds.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise ValueError(f"no kind {kind!r:.40}")
    return read


def _array(value: Value, length: int | None = None) -> list[Value]:
    if type(value) is not list or length not in (None, len(value)):
        raise ValueError("not an array of the length that it must have")
    return value


def _integer(value: Value) -> int:
    if type(value) is not int or not -(2**63) <= value < 2**63:
        raise ValueError("not an integer of 64 bits")
    return value


def _text(value: Value) -> str:
    if type(value) is not str:
        raise ValueError("not text")
    return value


def _boolean(value: Value) -> bool:
    if type(value) is not bool:
        raise ValueError("neither true nor false")
    return value


class _Part(NamedTuple):
    """How a field is read: the types that JSON may give for it, and what else there is to check or make."""

    types: tuple[type, ...]
    read: _Read | None = None


_PLAIN: Final[dict[Any, _Part]] = {
    str: _Part((str,)),
    bool: _Part((bool,)),
    int: _Part((int,), _integer),
    NoneType: _Part((NoneType,)),
}


def _part_of(hint: Any) -> _Part:
    """For a type that is plain, optional, a tuple, or a named tuple."""
    if hint in _PLAIN:
        return _PLAIN[hint]
    parts = [_part_of(each) for each in get_args(hint) if each is not Ellipsis]
    if isinstance(hint, UnionType):
        (some,) = [part for part in parts if part.types != (NoneType,)]
        return _optional(some)
    if get_origin(hint) is tuple:
        make = _texts if get_args(hint) == (str, ...) else None
        is_any_length = Ellipsis in get_args(hint)
        return _Part((list,), make or (_many(parts[0]) if is_any_length else _fields(tuple, parts)))
    return _Part((list,), _named(hint))


def _optional(part: _Part) -> _Part:
    read = part.read
    types = (*part.types, NoneType)
    return _Part(types, read and (lambda value: None if value is None else read(value)))


def _texts(value: Value) -> tuple[str, ...]:
    for each in value:
        if type(each) is not str:
            raise ValueError("not text")
    return tuple(value)


def _many(part: _Part) -> _Read:
    types, read = part.types, part.read

    def read_all(value: Value) -> tuple[Any, ...]:
        for each in value:
            if type(each) not in types:
                raise ValueError(f"no {types[0].__name__}")
        return tuple(value if read is None else map(read, value))

    return read_all


def _fields(make: Callable[[list[Any]], Any], parts: Sequence[_Part]) -> _Read:
    # One look into a set for the types of all fields: this is on the path of every command that is
    # handed over. Few fields are optional, so there are few combinations.
    allowed = frozenset(product(*(part.types for part in parts)))
    further = [(place, part.read) for place, part in enumerate(parts) if part.read is not None]

    def read(value: Value) -> Any:
        if tuple(map(type, value)) not in allowed:
            raise ValueError("a field is missing, or of another type")
        fields = list(value)
        for place, each in further:
            fields[place] = each(fields[place])
        return make(fields)

    return read


def _named(kind: Any, **special: _Part) -> _Read:
    """`special` reads the fields whose type leaves open which of several classes it is."""
    hints = get_type_hints(kind)
    parts = [special.get(name) or _part_of(hints[name]) for name in kind._fields]
    return _fields(kind._make, parts)


def _posted(cause: _Part) -> _Read:
    return _named(TransferPosted, cause=cause)


_COMMAND_KINDS: Final[dict[str, _Read]] = {kind: _named(made) for made, kind in COMMANDS.items()}
_ENTRY_KINDS: Final[dict[str, _Read]] = {
    **{kind: _named(made) for made, kind in KINDS.items() if made is not TransferPosted},
    KINDS[TransferPosted]: _posted(_PLAIN[NoneType]),
    **{kind: _posted(_Part((list,), _named(cause))) for cause, kind in CAUSES.items()},
}
