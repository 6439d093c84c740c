"""Frames as text: decoding what strangers send, encoding replies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn, TypeGuard

from domain.realtime.events import ErrorCode

FRAME_BYTES_MAX = 65_536
DEPTH_MAX = 16
"""Nesting of objects and arrays in one frame."""
ID_LENGTH_MAX = 64
ID_MAGNITUDE_MAX = 2**53 - 1
"""The integers that every JSON implementation carries exactly (RFC 8259, 6)."""

CommandId = int | str


@dataclass(frozen=True, slots=True)
class Frame:
    """A well-formed command, not yet understood."""

    id: CommandId
    type: object
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Malformed:
    """No command at all: there is nothing to reply to."""

    reason: str


class _DuplicateKey(ValueError):
    """Two readers of such an object may see two different commands."""


def size_bytes(frame: str | bytes) -> int:
    """The frame's length on the wire. Text with lone surrogates never came from one, yet has a length."""
    if isinstance(frame, bytes):
        return len(frame)
    return len(frame) if frame.isascii() else len(frame.encode("utf-8", "surrogatepass"))


def decode(frame: str | bytes) -> Frame | Malformed:
    """The command in a frame of at most `FRAME_BYTES_MAX`. Never raises."""
    if isinstance(frame, bytes):
        return Malformed("binary frames are not spoken here")
    try:
        value = json.loads(frame, object_pairs_hook=_object, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return Malformed("not JSON")
    if not isinstance(value, dict):
        return Malformed("not a JSON object")
    # Brackets inside strings count too here, so this only tells whether the exact look is needed.
    if frame.count("{") + frame.count("[") > DEPTH_MAX and _depth(value) > DEPTH_MAX:
        return Malformed("nested too deeply")
    command_id = value.get("id")
    if not _is_command_id(command_id):
        return Malformed("a command needs an id: an integer, or a string of 1 to 64 characters")
    return Frame(command_id, value.get("type"), value)


def reply(id: CommandId, type: str, **fields: object) -> str:
    """One reply's text: ASCII, one line."""
    return json.dumps({"id": id, "type": type, **fields}, separators=(",", ":"))


def error(id: CommandId, code: ErrorCode, detail: str) -> str:
    return reply(id, "error", code=code.value, detail=detail)


def _is_command_id(id: object) -> TypeGuard[CommandId]:
    if isinstance(id, str):
        # Lone surrogates and control characters are not printable.
        return 1 <= len(id) <= ID_LENGTH_MAX and id.isprintable()
    return isinstance(id, int) and not isinstance(id, bool) and abs(id) <= ID_MAGNITUDE_MAX


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _DuplicateKey
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON (RFC 8259, 6)")


def _depth(value: object) -> int:
    """Levels of objects and arrays, counted level by level: the frame's size bounds the work."""
    depth = 0
    level = [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        depth += 1
        level = [child for item in level for child in (item.values() if isinstance(item, dict) else item)]
    return depth
