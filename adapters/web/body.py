"""Reading a request's body: bounded in bytes and in time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from adapters.web.asgi import Receive
from adapters.web.errors import BODY_TIMEOUT, BODY_TOO_LARGE
from adapters.web.route import Problem
from ports.runtime import DeadlineExceeded, Runtime

DISCARDED_BYTES_MAX = 16 * 1024 * 1024
"""A refused body is read on so far: an answer that meets a client still sending is often lost to it,
since closing with unread bytes resets the connection."""

DISCONNECTED = Problem(400, "client_disconnected", "The body was not sent to its end.")


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How much, and for how long: a body that drips in holds a connection and a task."""

    bytes_max: int = 1024 * 1024
    seconds_max: float = 30.0


async def read_body(
    receive: Receive, runtime: Runtime, headers: Iterable[tuple[bytes, bytes]], limits: BodyLimits
) -> bytes | Problem:
    """The whole body, within the limits."""
    declared = _declared_length(headers)
    too_large = declared is not None and declared > limits.bytes_max
    body = bytearray()
    try:
        async with runtime.deadline(limits.seconds_max):
            if too_large:
                return await _discard(receive, already=0)
            return await _collect(receive, body, limits.bytes_max)
    except DeadlineExceeded:
        # A client that is slow with too much is told of the size: sending faster would not help it.
        return BODY_TOO_LARGE if too_large or len(body) > limits.bytes_max else BODY_TIMEOUT


async def _collect(receive: Receive, body: bytearray, bytes_max: int) -> bytes | Problem:
    message = await receive()
    if message["type"] != "http.request":
        return DISCONNECTED
    first: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        return first if len(first) <= bytes_max else BODY_TOO_LARGE
    body += first
    while message.get("more_body", False):
        if len(body) > bytes_max:
            return await _discard(receive, already=len(body))
        message = await receive()
        if message["type"] != "http.request":
            return DISCONNECTED
        body += message.get("body", b"")
    return bytes(body) if len(body) <= bytes_max else BODY_TOO_LARGE


async def _discard(receive: Receive, *, already: int) -> Problem:
    discarded = already
    while discarded <= DISCARDED_BYTES_MAX:
        message = await receive()
        if message["type"] != "http.request" or not message.get("more_body", False):
            break
        discarded += len(message.get("body", b""))
    return BODY_TOO_LARGE


def _declared_length(headers: Iterable[tuple[bytes, bytes]]) -> int | None:
    for name, value in headers:
        if name == b"content-length":
            return int(value) if value.isdigit() and len(value) < 20 else None
    return None
