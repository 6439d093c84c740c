"""Frames on a stream of bytes, without input or output: a header, then as many bytes as it says.

A request has a number that its sender chose, ascending from 1, and its answer has the same one.
"""

from __future__ import annotations

from enum import IntEnum
from struct import Struct
from typing import Final, NamedTuple

VERSION: Final = 2
"""Of the frames and of what is in them. During an upgrade two versions may meet, which then do not speak."""
PAYLOAD_BYTES_MAX: Final = 16 * 1024 * 1024
_HEADER: Final = Struct(">IBBQ")
"""Length of the payload in bytes, version, kind, number."""


class Kind(IntEnum):
    REQUEST = 1
    PART = 2
    """The beginning of an answer; more of it follows."""
    ANSWER = 3
    """An answer, or the rest of it."""
    FAILURE = 4
    """What was raised instead of an answer."""
    CLOSING = 5
    """Requests beyond this number were not taken, and none will be."""
    PING = 6
    """Asks whether the holder lives."""
    PONG = 7
    """It does."""


class LinkFrame(NamedTuple):
    kind: Kind
    number: int
    payload: bytes


class BadFrame(Exception):
    """The other side speaks something else. Nothing that follows can be read."""


def encoded(frame: LinkFrame) -> bytes:
    """ValueError when its payload is too large."""
    if len(frame.payload) > PAYLOAD_BYTES_MAX:
        raise ValueError(f"a payload of {len(frame.payload)} bytes")
    return _HEADER.pack(len(frame.payload), VERSION, frame.kind, frame.number) + frame.payload


class FrameReader:
    """Takes bytes as they come, and gives the frames that are complete."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[LinkFrame]:
        """Raises `BadFrame`; the buffer holds one incomplete frame at most."""
        buffer = self._buffer
        buffer += data
        frames: list[LinkFrame] = []
        start = 0
        while len(buffer) - start >= _HEADER.size:
            length, version, kind, number = _HEADER.unpack_from(buffer, start)
            if version != VERSION or length > PAYLOAD_BYTES_MAX or kind not in _KINDS:
                raise BadFrame(f"version {version}, kind {kind}, {length} bytes")
            end = start + _HEADER.size + length
            if len(buffer) < end:
                break
            frames.append(LinkFrame(_KINDS[kind], number, bytes(buffer[start + _HEADER.size : end])))
            start = end
        del buffer[:start]
        return frames


_KINDS: Final = {kind.value: kind for kind in Kind}
