"""Whether a document from outside has the types that its class says, and nothing that a store cannot hold."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from domain.ledger.chain import JournalDocument
from domain.ledger.entries import Entry, Recorded

Fits = Callable[[Any], bool]


def has_its_shape(document: JournalDocument) -> bool:
    """Whole numbers below 2**63 in magnitude, text that can be encoded, and each part of its own class."""
    texts = (document.book, document.nonce, document.previous, document.digest)
    return (
        all(_is_text(text) for text in texts)
        and _is_integer(document.seq)
        and _is_integer(document.time_ms)
        and all(entry_has_its_shape(entry) for entry in document.entries)
    )


def recorded_has_its_shape(recorded: Recorded) -> bool:
    return _is_integer(recorded.seq) and _is_integer(recorded.time_ms) and entry_has_its_shape(recorded.entry)


def entry_has_its_shape(entry: Entry) -> bool:
    kind: Any = type(entry)
    return _fit_of(kind)(entry)


@cache
def _fit_of(hint: Any) -> Fits:
    if hint in _PLAIN:
        return _PLAIN[hint]
    parts = tuple(_fit_of(part) for part in get_args(hint) if part is not Ellipsis)
    if isinstance(hint, UnionType):
        return lambda value: any(fits(value) for fits in parts)
    if get_origin(hint) is tuple:
        return _fit_of_tuple(parts, is_any_length=Ellipsis in get_args(hint))
    hints = get_type_hints(hint)
    members = tuple(_fit_of(hints[name]) for name in hint._fields)
    return lambda value: type(value) is hint and _each_fits(value, members)


def _fit_of_tuple(parts: tuple[Fits, ...], *, is_any_length: bool) -> Fits:
    if is_any_length:
        return lambda value: isinstance(value, tuple) and all(parts[0](each) for each in value)
    return lambda value: isinstance(value, tuple) and len(value) == len(parts) and _each_fits(value, parts)


def _each_fits(values: tuple[Any, ...], fits: tuple[Fits, ...]) -> bool:
    return all(fit(value) for fit, value in zip(fits, values, strict=True))


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63


def _is_text(value: Any) -> bool:
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


_PLAIN: dict[Any, Fits] = {
    int: _is_integer,
    str: _is_text,
    bool: lambda value: isinstance(value, bool),
    NoneType: lambda value: value is None,
}
