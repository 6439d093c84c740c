"""Whether a document from outside has the types that its class says, and nothing that a store cannot hold.

The types stand here a second time, in the order of each class's fields: nothing in the domain reads its own
annotations, which a compiled module has lost. A test holds the table to them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from domain.ledger.account import Account
from domain.ledger.chain import JournalDocument
from domain.ledger.entries import (
    AccountOpened,
    Capture,
    Entry,
    GrantEnded,
    GrantScheduled,
    HoldPlaced,
    HoldReleased,
    Issue,
    Lapse,
    Recorded,
    Refused,
    Reversal,
    RuleRemoved,
    RuleSet,
    RuleSkipped,
    TransferPosted,
)
from domain.ledger.lots import GrantTerms, Lot

INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**63 - 1
"""What a store holds of an integer: 64 bits."""

Fits = Callable[[Any], bool]


def has_its_shape(document: JournalDocument) -> bool:
    """Whole numbers below 2**63 in magnitude, text that can be encoded, and each part of its own class."""
    texts = (document.book, document.nonce, document.previous, document.digest)
    return (
        all(_text(text) for text in texts)
        and _number(document.seq)
        and _number(document.time_ms)
        and all(entry_has_its_shape(entry) for entry in document.entries)
    )


def recorded_has_its_shape(recorded: Recorded) -> bool:
    return _number(recorded.seq) and _number(recorded.time_ms) and entry_has_its_shape(recorded.entry)


def entry_has_its_shape(entry: Entry) -> bool:
    return _named(entry) and isinstance(entry, Entry)


def _named(value: Any) -> bool:
    """Whether the value is of a class of the table, and its fields are of theirs."""
    fields = FIELDS.get(type(value))
    return fields is not None and _each_fits(value, fields)


def _each_fits(values: Iterable[Any], fits: tuple[Fits, ...]) -> bool:
    return all(fit(value) for fit, value in zip(fits, values, strict=True))


def _number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and INTEGER_MIN <= value <= INTEGER_MAX


def _text(value: Any) -> bool:
    """A lone surrogate is no text: no store takes it."""
    if not isinstance(value, str):
        return False
    if value.isascii():
        return True
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _number_or_none(value: Any) -> bool:
    return value is None or _number(value)


def _text_or_none(value: Any) -> bool:
    return value is None or _text(value)


def _texts(value: Any) -> bool:
    return isinstance(value, tuple) and all(map(_text, value))


def _part(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) == 2 and _text(value[0]) and _number(value[1])


def _funding(value: Any) -> bool:
    return isinstance(value, tuple) and all(map(_part, value))


def _account(value: Any) -> bool:
    return type(value) is Account and _named(value)


def _terms(value: Any) -> bool:
    return type(value) is GrantTerms and _named(value)


def _lots(value: Any) -> bool:
    return isinstance(value, tuple) and all(type(lot) is Lot and _named(lot) for lot in value)


def _cause(value: Any) -> bool:
    return value is None or (isinstance(value, Issue | Lapse | Capture | Reversal) and _named(value))


_FROM_REQUEST: Final[tuple[Fits, ...]] = (_texts, _text, _text)
"""Keys, fingerprint and actor, which every entry has."""

FIELDS: Final[dict[type, tuple[Fits, ...]]] = {
    Account: (_text, _text, _text_or_none, _number_or_none, _text, _number_or_none),
    GrantTerms: (_text, _number, _number_or_none, _number_or_none),
    Lot: (_text, _number, _number, _number, _text, _number_or_none, _number, _number, _text),
    Issue: (_text, _terms, _text, _number),
    Lapse: (_text, _text, _number),
    Capture: (_text, _number, _flag),
    Reversal: (_text, _funding, _lots, _funding),
    AccountOpened: (_account, *_FROM_REQUEST),
    TransferPosted: (
        *(_text, _text, _text, _number, _text, _text, _number, _number),
        *_FROM_REQUEST,
        *(_text, _funding, _number_or_none, _cause),
    ),
    GrantScheduled: (_text, _text, _text, _number, _terms, _text, *_FROM_REQUEST, _text),
    GrantEnded: (_text, _text, _text, _text, _number, *_FROM_REQUEST, _number_or_none),
    HoldPlaced: (_text, _text, _text, _number, _text, _number, _text, *_FROM_REQUEST, _text, _funding),
    HoldReleased: (_text, _text, _text, _number, _text, *_FROM_REQUEST, _number_or_none),
    RuleSet: (_text, _text, _text, _number, _number, _text, _number, *_FROM_REQUEST, _number_or_none),
    RuleRemoved: (_text, _text, _text, *_FROM_REQUEST),
    RuleSkipped: (_text, _text, _text, _text, *_FROM_REQUEST),
    Refused: (_text, _text, _text, *_FROM_REQUEST),
}
