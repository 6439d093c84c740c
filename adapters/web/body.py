"""Reading a request's body: bounded in bytes and in time."""

from __future__ import annotations

from dataclasses import dataclass

from adapters.asgi.problems import BODY_TIMEOUT, BODY_TOO_LARGE, Problem
from adapters.asgi.types import Message, Receive
from ports.runtime import DeadlineExceeded, Runtime

DISCARDED_BYTES_MAX = 16 * 1024 * 1024
"""A refused body is read on so far: an answer that meets a client still sending is often lost to it,
since closing with unread bytes resets the connection."""

UNREAD_S_MAX = 0.5
"""How long an answer waits for the rest of a body that is not needed."""

DISCONNECTED = Problem(400, "client_disconnected", "The body was not sent to its end.")


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How much, and for how long: a body that drips in holds a connection and a task."""

    bytes_max: int = 1024 * 1024
    seconds_max: float = 30.0


class BodyWatch:
    """`receive` of a request that has a body: knows whether all of it has come.

    A server that has answered cannot go on with a connection on which a body is still under way. Some close
    it then and do not say so (RFC 9112, 9.6), so that the client's next request is lost without an answer.
    """

    __slots__ = ("_is_withheld", "_receive", "_runtime", "has_come")

    def __init__(self, receive: Receive, runtime: Runtime, *, is_withheld: bool) -> None:
        """`is_withheld` says that the client waits to be asked, which the first call does."""
        self._receive = receive
        self._runtime = runtime
        self._is_withheld = is_withheld
        self.has_come = False

    async def __call__(self) -> Message:
        self._is_withheld = False
        message = await self._receive()
        self.has_come = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    async def discard(self) -> None:
        """Reads on to the end of the body, if that comes soon and is not too far."""
        if self._is_withheld:
            return
        discarded = 0
        try:
            async with self._runtime.deadline(UNREAD_S_MAX):
                while not self.has_come and discarded <= DISCARDED_BYTES_MAX:
                    discarded += len((await self()).get("body", b""))
        except DeadlineExceeded:
            return


async def read_body(
    receive: Receive, runtime: Runtime, limits: BodyLimits, *, length: int | None
) -> bytes | Problem:
    """The whole body, within the limits; `length` is what its sender declares, in bytes."""
    too_large = length is not None and length > limits.bytes_max
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
