"""One open connection: a reader that always runs, a writer, and the protocol machine between them."""

from __future__ import annotations

import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, assert_never

from adapters.asgi.types import Receive, Send
from adapters.socket.socket_metrics import SocketMetrics
from domain.realtime.events import (
    Authenticate,
    Close,
    CloseCode,
    Command,
    Granted,
    Reauthenticate,
    Refusal,
    Verdict,
    Welcome,
)
from domain.realtime.events import Send as SendReply
from domain.realtime.outbox import Outbox, OutboxLimits, Put
from domain.realtime.protocol import ConnectionMachine, Outputs, ProtocolLimits
from ports.clock import Clock
from ports.errors import DependencyUnavailable
from ports.limits.message_limit import MessageLimit, MessageVerdict
from ports.realtime.socket_tokens import SocketIdentity, SocketRefusal
from ports.realtime.switchboard import Recipient, Switchboard
from ports.request_id import REQUEST_ID
from ports.runtime import DeadlineExceeded, Event, Overloaded, Runtime

_logger = logging.getLogger(__name__)

_REFUSALS = {
    SocketRefusal.NOT_VALID: Refusal.NOT_AUTHENTICATED,
    SocketRefusal.OTHER_KIND: Refusal.OTHER_KIND,
    SocketRefusal.WRONG_DEVICE: Refusal.WRONG_DEVICE,
}
PROTOCOL = ProtocolLimits()
OUTBOX = OutboxLimits()


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """Every wait and every buffer of the transport.

    `command_timeout_s_max` bounds what a command asks of others, `send_timeout_s_max` one burst of frames to
    a client that does not read, `close_timeout_s_max` the wait for a client's answer to a close.
    """

    protocol: ProtocolLimits = PROTOCOL
    outbox: OutboxLimits = OUTBOX
    connections_max: int = 20_000
    command_timeout_s_max: float = 5.0
    send_timeout_s_max: float = 10.0
    close_timeout_s_max: float = 3.0
    shutdown_timeout_s_max: float = 5.0


class Timetable(Protocol):
    """Calls `SocketConnection.tick` at the connection's deadline."""

    def put(self, connection: SocketConnection, due_ms: int | None) -> None: ...


@dataclass(frozen=True, slots=True)
class ConnectionServices:
    """What all connections of one application share."""

    runtime: Runtime
    clock: Clock
    switchboard: Switchboard
    messages: MessageLimit
    metrics: SocketMetrics
    timetable: Timetable
    limits: SocketLimits

    def now_ms(self) -> int:
        return int(self.runtime.monotonic() * 1_000)


class SocketConnection:
    """The ASGI call runs `write`, which also carries out commands: one task acts, one task (`read`) listens.

    A full outbox, an expired identity and a shutdown end it through `close` like anything else.
    """

    __slots__ = (
        "_around",
        "_command",
        "_device_id",
        "_gone",
        "_identity",
        "_is_exempt",
        "_machine",
        "_outbox",
        "_stirred",
    )

    def __init__(
        self, around: ConnectionServices, *, device_id: str | None = None, is_exempt: bool = False
    ) -> None:
        """`is_exempt`: from an allow-listed address, whose messages are not counted."""
        self._device_id = device_id
        self._is_exempt = is_exempt
        self._around = around
        self._machine = ConnectionMachine(around.limits.protocol, around.now_ms())
        self._outbox = Outbox(around.limits.outbox)
        self._identity: SocketIdentity | None = None
        self._command: Command | None = None
        self._stirred: Event | None = None
        self._gone = False
        self._watch_deadline()

    # --- what others call; none of it blocks

    def deliver(self, text: str, size_bytes: int) -> None:
        self._queue(text, size_bytes)
        self._stir()

    def close(self, code: CloseCode, reason: str) -> None:
        self._apply(self._machine.end(code, reason))

    def tick(self) -> None:
        self._apply(self._machine.tick(self._around.now_ms()))

    # --- the reader's task

    async def read(self, receive: Receive) -> None:
        """Until the client is gone, which an unread queue would hide. What comes after a close is ignored."""
        try:
            while (message := await receive())["type"] != "websocket.disconnect":
                if self._outbox.closing is None:
                    self._around.metrics.received()
                    text = message.get("text")
                    # An empty binary frame comes as None.
                    await self._take(text if text is not None else message.get("bytes") or b"")
        finally:
            self._gone = True
            self._stir()

    async def _take(self, frame: str | bytes) -> None:
        try:
            if await self._may_speak():
                self._apply(self._machine.receive(frame, self._around.now_ms()))
        except Exception:
            _logger.exception("a WebSocket frame could not be handled")
            self._fault()
            self._stir()

    async def _may_speak(self) -> bool:
        """Counts a message of somebody who is known; before that the machine's own bounds must do."""
        if self._identity is None or self._is_exempt:
            return True
        verdict = await self._around.messages.take(self._identity.user_id)
        if verdict is MessageVerdict.OVER_LIMIT:
            self.close(CloseCode.OVER_LIMIT, "quota_exceeded")
        elif verdict is MessageVerdict.BANNED:
            self.close(CloseCode.FORBIDDEN, "banned")
        return verdict is MessageVerdict.ALLOWED

    # --- the writer's task

    async def write(self, send: Send) -> None:
        """Until the client is gone or was told why it must go."""
        try:
            while self._outbox.closing is None and not self._gone:
                if self._command is not None:
                    command, self._command = self._command, None
                    await self._carry_out(command)
                elif len(self._outbox):
                    await self._send_burst(send)
                else:
                    await self._rest()
        except DeadlineExceeded:
            self._too_slow()
        except OSError:
            # How some servers say that the client has gone (ASGI, websocket spec 2.4).
            self._gone = True
        except Exception:
            _logger.exception("a WebSocket connection failed", extra={"request_id": REQUEST_ID.get()})
            self._fault()
        if not self._gone:
            await self._hang_up(send)

    async def leave(self) -> None:
        """Forgets the connection everywhere. Runs to its end however the writer ended."""
        self._machine.lost()
        self._around.timetable.put(self, None)
        if self._identity is not None:
            await self._around.switchboard.detach(self, self._identity)

    async def _rest(self) -> None:
        """Waits until something happened. Nothing can, between a look at the state and this."""
        self._stirred = self._around.runtime.event()
        await self._stirred.wait()
        self._stirred = None

    async def _send_burst(self, send: Send) -> None:
        frames = self._outbox.take()
        async with self._around.runtime.deadline(self._around.limits.send_timeout_s_max):
            for text in frames:
                await send({"type": "websocket.send", "text": text})
        self._around.metrics.sent(len(frames))

    async def _hang_up(self, send: Send) -> None:
        """What was queued before the close, the close, and a moment for the client to answer it."""
        closing = self._outbox.closing
        limits, deadline = self._around.limits, self._around.runtime.deadline
        with suppress(DeadlineExceeded, OSError):
            await self._send_burst(send)
            async with deadline(limits.send_timeout_s_max):
                if closing is not None:
                    await send(
                        {"type": "websocket.close", "code": closing.code.value, "reason": closing.reason}
                    )
            async with deadline(limits.close_timeout_s_max):
                while not self._gone:
                    await self._rest()

    # --- commands

    async def _carry_out(self, command: Command) -> None:
        try:
            async with self._around.runtime.deadline(self._around.limits.command_timeout_s_max):
                verdict = await self._verdict(command)
        except (DependencyUnavailable, DeadlineExceeded, Overloaded):
            verdict = Refusal.UNAVAILABLE
        self._apply(self._machine.answer(verdict, self._around.now_ms()))

    async def _verdict(self, command: Command) -> Verdict:
        found = await self._around.switchboard.authenticate(command.token, device_id=self._device_id)
        if isinstance(found, SocketRefusal):
            return _REFUSALS[found]
        match command:
            case Authenticate():
                # The first thing that somebody known says counts, too: who is banned is not let in.
                if not self._is_exempt and (refusal := await self._refusal(found)) is not None:
                    return refusal
                # Known before it is attached, so that it is detached even when attaching fails.
                self._identity = found
                live = await self._around.switchboard.attach(self, found)
            case Reauthenticate():
                live = self._renew(found)
            case _:
                assert_never(command)
        if not live:
            return Refusal.NOT_AUTHENTICATED
        return Granted(found.user_id, found.session_id, found.expires_ms - self._around.clock.now_ms())

    async def _refusal(self, found: SocketIdentity) -> Refusal | None:
        verdict = await self._around.messages.take(found.user_id)
        if verdict is MessageVerdict.ALLOWED:
            return None
        return Refusal.BANNED if verdict is MessageVerdict.BANNED else Refusal.OVER_LIMIT

    def _renew(self, found: SocketIdentity) -> bool:
        before = self._identity
        if before is None or before.user_id != found.user_id:
            return True  # the machine refuses another user's token, and nothing has changed
        self._identity = found
        return self._around.switchboard.renew(self, before, found)

    # --- from the machine to the outbox

    def _apply(self, outputs: Outputs) -> None:
        for output in outputs:
            match output:
                case SendReply(text):
                    self._queue(text, len(text))
                case Welcome(text):
                    self._outbox.put_first(text, len(text))
                case Close():
                    self._end(output)
                case Authenticate() | Reauthenticate():
                    self._command = output
                case _:
                    assert_never(output)
        self._watch_deadline()
        self._stir()

    def _queue(self, text: str, size_bytes: int) -> None:
        if self._outbox.put(text, size_bytes) is Put.FULL:
            self._too_slow()

    def _too_slow(self) -> None:
        self._machine.lost()
        self._end(Close(CloseCode.TOO_SLOW, "the client reads too slowly"), drop=True)

    def _fault(self) -> None:
        self._machine.lost()
        self._end(Close(CloseCode.FAULT, "internal error"), drop=True)

    def _end(self, close: Close, *, drop: bool = False) -> None:
        if self._outbox.end(close, drop=drop):
            self._around.metrics.dropped(close.code.name.lower())

    def _watch_deadline(self) -> None:
        self._around.timetable.put(self, self._machine.deadline_ms)

    def _stir(self) -> None:
        if self._stirred is not None:
            self._stirred.set()


def _proof(connection: SocketConnection) -> Recipient:
    """mypy holds the transport to its port here."""
    return connection
