"""The ASGI application for WebSocket scopes, native protocol."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import Final

from adapters.asgi.answers import refuse_upgrade, request_id_header
from adapters.asgi.problems import Problem
from adapters.asgi.request_state import RequestState, request_state
from adapters.asgi.types import Receive, Scope, Send
from adapters.socket.connection import ConnectionServices, SocketConnection, SocketLimits
from adapters.socket.handshake import (
    UNAVAILABLE,
    Accepted,
    Mute,
    judge,
    normal_origin,
)
from adapters.socket.socket_metrics import SocketMetrics
from domain.realtime.deadlines import Deadlines
from domain.realtime.events import CloseCode
from ports.clock import Clock
from ports.limits.message_limit import MessageLimit
from ports.metrics import Metrics
from ports.realtime.switchboard import Switchboard
from ports.runtime import DeadlineExceeded, Event, Runtime

GRAIN_MS: Final = 250
"""How late a deadline may come up."""
LIMITS: Final = SocketLimits()


class SocketApplication:
    """`/ws`, protocol `credit-system.v1`; other paths are 404.

    A client that offers no subprotocol is closed at once with 4400, one that offers only others gets 400
    before the upgrade; a foreign `Origin` gets 403. `origins` are allowed besides the service's own.

    Liveness is the server's work: listen with SO_KEEPALIVE and TCP_USER_TIMEOUT, which connections inherit on
    Linux. Nothing else ends a send to a peer that has stopped reading (on trio not even a cancellation gets
    Hypercorn out of it). Hypercorn's `websocket_ping_interval` may send pings besides; its ping task outlives
    each connection by one interval, holds up the server's shutdown for `graceful_timeout`, and is then
    cancelled noisily. A client may send `ping` commands; one that sends nothing may stay.

    Frames are at most `FRAME_BYTES_MAX` (Hypercorn's `websocket_max_message_size`, in characters).
    Before the server stops, await `close_all`. Needs the runtime's `running()`.
    """

    def __init__(
        self,
        *,
        runtime: Runtime,
        clock: Clock,
        switchboard: Switchboard,
        messages: MessageLimit,
        metrics: Metrics,
        origins: Iterable[str] = (),
        limits: SocketLimits = LIMITS,
    ) -> None:
        self._runtime = runtime
        self._limits = limits
        self._origins = frozenset(map(_checked_origin, origins))
        self._metrics = SocketMetrics(metrics)
        self._deadlines: Deadlines[SocketConnection] = Deadlines(grain_ms=GRAIN_MS)
        self._around = ConnectionServices(
            runtime, clock, switchboard, messages, self._metrics, self._deadlines, limits
        )
        self._connections: set[SocketConnection] = set()
        self._sweeping = False
        self._closing = False
        self._emptied: Event | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection, from handshake to end; `scope` is of type websocket."""
        if (await receive())["type"] != "websocket.connect":
            return
        verdict = judge(scope, self._origins)
        if not isinstance(verdict, Problem) and self._is_full():
            verdict = UNAVAILABLE
        state = request_state(scope)
        if isinstance(verdict, Problem):
            self._metrics.dropped(verdict.code)
            await refuse_upgrade(scope, send, verdict, state)
            return
        connection = self._enter(state)
        if isinstance(verdict, Mute):
            connection.close(CloseCode.PROTOCOL_ERROR, verdict.reason)
        try:
            await send(
                {
                    "type": "websocket.accept",
                    "subprotocol": verdict.subprotocol if isinstance(verdict, Accepted) else None,
                    "headers": [request_id_header(state)],
                }
            )
            await self._serve(connection, receive, send)
        finally:
            await self._runtime.shielded(partial(self._leave, connection), name="websocket leaves")

    async def close_all(self) -> None:
        """Ends every connection with 1012 and waits for them, a bounded time; new ones get 503."""
        self._closing = True
        self._emptied = self._runtime.event()
        for connection in list(self._connections):
            connection.close(CloseCode.RESTARTING, "the service is restarting")
        if self._connections:
            with suppress(DeadlineExceeded):
                async with self._runtime.deadline(self._limits.shutdown_timeout_s_max):
                    await self._emptied.wait()

    async def _serve(self, connection: SocketConnection, receive: Receive, send: Send) -> None:
        reader = self._runtime.start(partial(connection.read, receive), name="websocket reader")
        try:
            await connection.write(send)
        finally:
            reader.cancel()

    def _is_full(self) -> bool:
        return self._closing or len(self._connections) >= self._limits.connections_max

    def _enter(self, state: RequestState) -> SocketConnection:
        connection = SocketConnection(
            self._around,
            device_id=state.device_id,
            is_exempt=state.exempt,
        )
        self._connections.add(connection)
        self._metrics.opened()
        if not self._sweeping:
            self._sweeping = True
            self._runtime.start(self._sweep, name="websocket deadlines")
        return connection

    async def _leave(self, connection: SocketConnection) -> None:
        self._connections.discard(connection)
        self._metrics.closed()
        try:
            await connection.leave()
        finally:
            if self._emptied is not None and not self._connections:
                self._emptied.set()

    async def _sweep(self) -> None:
        """One timer for all connections, while there are any."""
        try:
            while self._connections:
                await self._runtime.sleep(GRAIN_MS / 1_000)
                for connection in self._deadlines.pop_due(self._around.now_ms()):
                    connection.tick()
        finally:
            self._sweeping = False


def _checked_origin(origin: str) -> str:
    normal = normal_origin(origin)
    if normal is None:
        raise ValueError(f"not an origin: {origin!r}")
    return normal
