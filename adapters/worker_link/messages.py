"""What is in the frames: submissions, outcomes and errors as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec

from adapters.worker_link.command_records import (
    outcomes_of,
    submission_of,
    value_of_outcomes,
    value_of_submission,
)
from adapters.worker_link.frames import PAYLOAD_BYTES_MAX, Kind, LinkFrame, encoded
from domain.ledger.commands import Submission
from domain.ledger.outcomes import CommandOutcome
from ports.errors import DependencyUnavailable
from ports.ledger.worker_link import LinkUnusable, Outcomes, ResultUnknown
from ports.runtime import Overloaded

Made = TypeVar("Made")


class BadMessage(Exception):
    """A frame that holds something else than it should."""


def _plain(value: object) -> int:
    """Stores give integers of classes of their own, and what was read from one is answered like any other."""
    if isinstance(value, int):
        return int(value)
    raise TypeError(f"{type(value).__name__} is no JSON")


_encode: Final = msgspec.json.Encoder(enc_hook=_plain).encode


def packed(submission: Submission) -> bytes:
    """One element of a request."""
    return _encode(value_of_submission(submission))


def request(number: int, elements: Sequence[bytes]) -> bytes:
    return encoded(LinkFrame(Kind.REQUEST, number, _array(elements)))


def submissions_of(frame: LinkFrame) -> list[Submission]:
    """Raises `BadMessage`."""
    return [_read(submission_of, element) for element in _elements(frame)]


def answers(number: int, outcomes: Outcomes) -> Iterator[bytes]:
    """As many frames as it takes."""
    elements: list[bytes] = []
    size = 2
    for each in outcomes:
        element = _encode(value_of_outcomes(each))
        if elements and size + len(element) + 1 > PAYLOAD_BYTES_MAX:
            yield encoded(LinkFrame(Kind.PART, number, _array(elements)))
            elements, size = [], 2
        elements.append(element)
        size += len(element) + 1
    yield encoded(LinkFrame(Kind.ANSWER, number, _array(elements)))


def outcomes_in(frame: LinkFrame) -> list[tuple[CommandOutcome, ...]]:
    """Raises `BadMessage`."""
    return [_read(outcomes_of, element) for element in _elements(frame)]


def failure(number: int, error: Exception) -> bytes:
    """Any other error than those that travel says that nobody knows what came of it."""
    match error:
        case Overloaded():
            words = ["overloaded", str(error)]
        case DependencyUnavailable():
            reason = str(error).removeprefix(error.dependency).removeprefix(": ")
            words = ["unavailable", error.dependency, reason]
        case BadMessage():
            words = ["unreadable", str(error)]
        case _:
            words = ["unavailable", "ledger", "the worker that holds the book failed"]
    return encoded(LinkFrame(Kind.FAILURE, number, _encode(words)))


def error_of(frame: LinkFrame) -> Exception:
    """The error that `failure` was made of. Raises `BadMessage`."""
    match _elements(frame):
        case ["overloaded", str(text)]:
            return Overloaded(text)
        case ["unavailable", str(dependency), str(reason)]:
            return DependencyUnavailable(dependency, reason)
        case ["unreadable", str(text)]:
            return LinkUnusable(text)
        case _:
            return ResultUnknown("the holder failed in words of its own")


def _array(elements: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(elements) + b"]"


def _elements(frame: LinkFrame) -> list[object]:
    try:
        return msgspec.json.decode(frame.payload, type=list[object])
    except msgspec.DecodeError as error:
        raise BadMessage(str(error)) from error


def _read(read: Callable[[Any], Made], element: object) -> Made:
    try:
        return read(element)
    except ValueError as error:
        raise BadMessage(str(error)) from error
