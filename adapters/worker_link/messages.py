"""What is in the frames: submissions, outcomes and errors as JSON."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

import msgspec

from adapters.worker_link.command_records import (
    outcomes_read,
    outcomes_written,
    submission_written,
    submissions_read,
)
from adapters.worker_link.frames import PAYLOAD_BYTES_MAX, Kind, LinkFrame, encoded
from domain.ledger.commands import Submission
from domain.ledger.outcomes import CommandOutcome, Outcomes
from ports.errors import DependencyUnavailable, OutcomeUnknown
from ports.ledger.worker_link import LinkUnusable
from ports.runtime import Overloaded

Made = TypeVar("Made")


class BadMessage(Exception):
    """A frame that holds something else than it should."""


packed: Final = submission_written
"""One element of a request."""


def request(number: int, elements: Sequence[bytes]) -> bytes:
    return encoded(LinkFrame(Kind.REQUEST, number, _array(elements)))


def submissions_of(frame: LinkFrame) -> list[Submission]:
    """Raises `BadMessage`."""
    return _read(submissions_read, frame)


def answers(number: int, outcomes: Outcomes) -> Iterator[bytes]:
    """As many frames as it takes."""
    elements: list[bytes] = []
    size = 2
    for each in outcomes:
        element = outcomes_written(each)
        if elements and size + len(element) + 1 > PAYLOAD_BYTES_MAX:
            yield encoded(LinkFrame(Kind.PART, number, _array(elements)))
            elements, size = [], 2
        elements.append(element)
        size += len(element) + 1
    yield encoded(LinkFrame(Kind.ANSWER, number, _array(elements)))


def outcomes_in(frame: LinkFrame) -> list[tuple[CommandOutcome, ...]]:
    """Raises `BadMessage`."""
    return _read(outcomes_read, frame)


def failure(number: int, error: Exception) -> bytes:
    """Any other error than those that travel says that what came of it is unknown."""
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
    return encoded(LinkFrame(Kind.FAILURE, number, msgspec.json.encode(words)))


def error_of(frame: LinkFrame) -> Exception:
    """The error that `failure` was made of. Raises `BadMessage`."""
    match _read(_words, frame):
        case ["overloaded", str(text)]:
            return Overloaded(text)
        case ["unavailable", str(dependency), str(reason)]:
            return DependencyUnavailable(dependency, reason)
        case ["unreadable", str(text)]:
            return LinkUnusable(text)
        case _:
            return OutcomeUnknown("ledger", "the holder failed in words of its own")


def _array(elements: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(elements) + b"]"


def _words(payload: bytes) -> list[object]:
    return msgspec.json.decode(payload, type=list[object])


def _read(read: Callable[[bytes], Made], frame: LinkFrame) -> Made:
    try:
        return read(frame.payload)
    except msgspec.DecodeError as error:
        raise BadMessage(str(error)) from error
