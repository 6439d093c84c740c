"""Commands and outcomes as JSON and back, for another process of the same version.

Each is an array: of its kind, and of the array of its fields in the order in which its class has them. A
named tuple is written as it stands, which costs next to nothing. msgspec reads it against the class's own
types: nothing is converted, and nothing may be missing or added.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, Final, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

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
from domain.ledger.entries import Recorded, TransferPosted
from domain.ledger.outcomes import CommandOutcome, Posted, Rejected, Settled
from domain.ledger.records import CAUSES, KINDS, kind_of
from domain.ledger.shapes import INTEGER_MAX, INTEGER_MIN

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
UNPOSTED: Final[dict[type[CommandOutcome], str]] = {Rejected: "rejected", Settled: "settled"}

Integer = Annotated[int, msgspec.Meta(ge=INTEGER_MIN, le=INTEGER_MAX)]
"""What fits every store: msgspec would take longer ones."""


def _plain(value: object) -> int:
    """Stores give integers of classes of their own, and what was read from one is answered like any other."""
    if isinstance(value, int):
        return int(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


_encode: Final = msgspec.json.Encoder(enc_hook=_plain).encode


def submission_written(submission: Submission) -> bytes:
    return _encode(
        (submission.atomic, [(COMMANDS[type(command)], command) for command in submission.commands])
    )


def outcomes_written(outcomes: Sequence[CommandOutcome]) -> bytes:
    """Of one submission."""
    return _encode([_row(outcome) for outcome in outcomes])


def submissions_read(array: bytes) -> list[Submission]:
    """The submissions that were written, as one array of all. Raises `msgspec.DecodeError`."""
    return [
        Submission(tuple([_COMMANDS[type(row)](row) for row in rows]), atomic)
        for atomic, rows in _submissions.decode(array)
    ]


def outcomes_read(array: bytes) -> list[tuple[CommandOutcome, ...]]:
    """The outcomes of several submissions, as one array of all. Raises `msgspec.DecodeError`."""
    return [tuple([_OUTCOMES[type(row)](row) for row in rows]) for rows in _outcomes.decode(array)]


def _row(outcome: CommandOutcome) -> tuple[object, ...]:
    if isinstance(outcome, Posted):
        entry, seq, time_ms = outcome.recorded
        return kind_of(entry), entry, seq, time_ms, outcome.replayed
    return UNPOSTED[type(outcome)], outcome


# --- how classes are read

_Make = Callable[[Any], Any]
_ARRAY: Final[Any] = tuple
"""A type that is put together here, which no checker of types can follow."""


class _Form(NamedTuple):
    """What msgspec checks a value against, and what makes of it the one that was written, if that differs."""

    checked: Any
    make: _Make | None = None


def _form(hint: Any) -> _Form:
    if hint is int:
        return _Form(Integer)
    if hasattr(hint, "_fields"):
        return _Form(*_named(hint))
    parts = get_args(hint)
    if isinstance(hint, UnionType):
        return _Form(reduce(or_, (_form(part).checked for part in parts)))
    if get_origin(hint) is tuple and parts[-1] is Ellipsis:
        each, make = _form(parts[0])
        return _Form(_ARRAY[each, ...], make and (lambda rows: tuple(map(make, rows))))
    if get_origin(hint) is tuple:
        return _Form(_ARRAY[tuple(_form(part).checked for part in parts)])
    return _Form(hint)


def _named(named: Any, **special: Any) -> tuple[Any, _Make]:
    """Of a named tuple: an array of just so many fields. `special` are types that say more than its own."""
    hints = get_type_hints(named) | special
    forms = [_form(hints[name]) for name in named._fields]
    made = [(place, form.make) for place, form in enumerate(forms) if form.make is not None]
    make: _Make = partial(tuple.__new__, named)

    def make_with_parts(fields: Sequence[Any]) -> Any:
        parts = list(fields)
        for place, make_part in made:
            parts[place] = make_part(parts[place])
        return make(parts)

    return _ARRAY[tuple(form.checked for form in forms)], make_with_parts if made else make


_Reader = tuple[type[msgspec.Struct], _Make]
"""What an array of one kind is read as, and what makes the value of that."""


def _reader(kind: str, named: Any) -> _Reader:
    checked, make = _named(named)
    return _struct(kind, ("fields", checked)), lambda row: make(row.fields)


def _posted_reader(kind: str, named: Any, **special: Any) -> _Reader:
    checked, make = _named(named, **special)
    fields = (("fields", checked), ("seq", Integer), ("time_ms", Integer), ("replayed", bool))
    return _struct(kind, *fields), lambda row: Posted(
        Recorded(make(row.fields), row.seq, row.time_ms), row.replayed
    )


def _struct(kind: str, *fields: tuple[str, Any]) -> type[msgspec.Struct]:
    return msgspec.defstruct(kind, fields, array_like=True, tag=kind, forbid_unknown_fields=True)


_COMMANDS: Final = dict(_reader(kind, named) for named, kind in COMMANDS.items())
_OUTCOMES: Final = dict(
    (
        *(_reader(kind, named) for named, kind in UNPOSTED.items()),
        *(_posted_reader(kind, named) for named, kind in KINDS.items() if named is not TransferPosted),
        _posted_reader(KINDS[TransferPosted], TransferPosted, cause=None),
        *(_posted_reader(kind, TransferPosted, cause=cause) for cause, kind in CAUSES.items()),
    )
)
_some_commands: Final = _ARRAY[reduce(or_, _COMMANDS), ...]
_some_outcomes: Final = _ARRAY[reduce(or_, _OUTCOMES), ...]
_submissions: Final = msgspec.json.Decoder(_ARRAY[_ARRAY[bool, _some_commands], ...])
_outcomes: Final = msgspec.json.Decoder(_ARRAY[_some_outcomes, ...])
