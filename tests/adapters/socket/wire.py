"""The ASGI application without a server: what one client sends, and everything it was sent."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from adapters.asgi.request_head import RequestHead
from adapters.asgi.request_state import SCOPE_KEY, RequestState
from adapters.asgi.types import Message
from adapters.memory.metrics import MemoryMetrics
from adapters.socket.application import SocketApplication
from adapters.socket.connection import SocketLimits
from application.realtime.switchboard import Realtime
from domain.realtime.events import CloseCode
from domain.realtime.protocol import SUBPROTOCOL
from ports.runtime import Event, Runtime, Task
from tests.adapters.socket.doubles import NamedTokens, ObservedBus, Talk

PATIENCE_S: Final = 10.0
HOST: Final = (b"host", b"credit.example")
QUICK: Final = SocketLimits(command_timeout_s_max=0.2, send_timeout_s_max=0.2, close_timeout_s_max=0.2)


class StillClock:
    def now_ms(self) -> int:
        return 0


class Service:
    """One process of the service, all of it but the server."""

    def __init__(
        self, runtime: Runtime, *, limits: SocketLimits = QUICK, origins: tuple[str, ...] = ()
    ) -> None:
        self.runtime = runtime
        self.bus = ObservedBus(runtime)
        self.tokens = NamedTokens()
        self.realtime = Realtime(runtime=runtime, bus=self.bus, tokens=self.tokens)
        self.metrics = MemoryMetrics()
        self.messages = Talk()
        self.application = SocketApplication(
            runtime=runtime,
            clock=StillClock(),
            switchboard=self.realtime,
            messages=self.messages,
            metrics=self.metrics,
            origins=origins,
            limits=limits,
        )

    def dropped(self, reason: str) -> float:
        return self.metrics.value("credit_websocket_dropped_total", reason)

    @property
    def open(self) -> float:
        return self.metrics.value("credit_websocket_connections")

    async def dial(self, **scope: Any) -> Wire:
        """A connection whose handshake is over, one way or the other."""
        wire = Wire(self, scope)
        await wire.until(lambda: wire.sent)
        return wire

    async def log_in(self, token: str = "alice/ses_a") -> Wire:
        wire = await self.dial()
        wire.say(id=1, type="connect", token=token)
        assert (await wire.hear())["type"] == "connected"
        return wire


def guarded(*, device_id: str | None = None, exempt: bool = False) -> dict[str, Any]:
    """What a guard in front of the application writes into the scope."""
    named = [] if device_id is None else [(b"x-device-id", device_id.encode())]
    head = RequestHead([HOST, *named])
    state = RequestState(
        head, request_id="req-1", address="203.0.113.7", method="GET", path="/ws", exempt=exempt
    )
    return {SCOPE_KEY: state}


class Wire:
    """A client of one connection. It answers a close as clients do, unless it is rude."""

    def __init__(self, service: Service, scope: dict[str, Any]) -> None:
        self._runtime = service.runtime
        self._inbound: deque[Message] = deque([{"type": "websocket.connect"}])
        self._changed: Event = service.runtime.event()
        self._read = 0
        self.sent: list[dict[str, Any]] = []
        self.is_reading = True
        self.is_rude = False
        self.failure: Exception | None = None
        """Raised by the next send, as some servers do once the client is gone."""
        complete = {
            "type": "websocket",
            "path": "/ws",
            "headers": [HOST],
            "subprotocols": [SUBPROTOCOL],
            "extensions": {"websocket.http.response": {}},
            **scope,
        }
        call = partial(service.application, complete, self._receive, self._send)
        self.call: Task[None] = service.runtime.start(call, name="server")

    # --- what the client does

    def say(self, **command: Any) -> None:
        self.say_text(json.dumps(command))

    def say_text(self, text: str) -> None:
        self._arrive({"type": "websocket.receive", "text": text, "bytes": None})

    def say_bytes(self, data: bytes | None) -> None:
        self._arrive({"type": "websocket.receive", "text": None, "bytes": data})

    def hang_up(self) -> None:
        self._arrive({"type": "websocket.disconnect", "code": 1006})

    def read_on(self) -> None:
        self.is_reading = True
        self._stir()

    async def hear(self) -> dict[str, Any]:
        """The next frame."""
        await self.until(lambda: len(self.texts) > self._read)
        frame: dict[str, Any] = json.loads(self.texts[self._read])
        self._read += 1
        return frame

    async def ended(self) -> CloseCode | None:
        """The code of the close that the client was told, once the ASGI call is over."""
        async with self._runtime.deadline(PATIENCE_S):
            await self.call.wait()
        closes = [message for message in self.sent if message["type"] == "websocket.close"]
        assert len(closes) <= 1
        assert not closes or self.sent[-1] is closes[0], "nothing is sent after a close"
        return CloseCode(closes[0]["code"]) if closes else None

    @property
    def texts(self) -> list[str]:
        return [message["text"] for message in self.sent if message["type"] == "websocket.send"]

    async def until(self, holds: Callable[[], object]) -> None:
        """Waits until a condition of this wire holds."""
        async with self._runtime.deadline(PATIENCE_S):
            while not holds():
                await self._change()

    # --- what the server does

    async def _receive(self) -> Message:
        while not self._inbound:
            await self._change()
        return self._inbound.popleft()

    async def _send(self, message: Message) -> None:
        if self.failure is not None:
            raise self.failure
        while not self.is_reading:
            await self._change()
        self.sent.append(dict(message))
        self._stir()
        if message["type"] == "websocket.close" and not self.is_rude:
            self.hang_up()

    def _arrive(self, message: Message) -> None:
        self._inbound.append(message)
        self._stir()

    def _stir(self) -> None:
        changed, self._changed = self._changed, self._runtime.event()
        changed.set()

    async def _change(self) -> None:
        await self._changed.wait()
