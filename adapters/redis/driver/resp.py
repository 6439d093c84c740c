"""RESP, Redis's protocol, as far as it is ours to write: commands packed once, and what replies are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

Command: TypeAlias = tuple[bytes | str | int, ...]
"""A command's words; texts travel as UTF-8."""


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """The server's error reply to one command; its neighbours in the pipeline are not touched."""

    code: str
    """`NOSCRIPT`, `OOM`, `READONLY`, … as far as redis-py tells it, else `ERR`."""
    detail: str


# Redis's answer: a nested shape that only the sender of a command knows.
Reply: TypeAlias = "int | bytes | ErrorReply | list[Reply] | None"


def frame(word: bytes | str | int) -> bytes:
    """One word as the wire wants it (RESP: a bulk string)."""
    if isinstance(word, str):
        word = word.encode()
    elif isinstance(word, int):
        word = b"%d" % word
    return b"$%d\r\n%b\r\n" % (len(word), word)


def pack(command: Command) -> bytes:
    """A command as the wire wants it (RESP: an array)."""
    return b"*%d\r\n%b" % (len(command), b"".join(map(frame, command)))
