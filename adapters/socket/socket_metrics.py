"""What operators see of connections."""

from __future__ import annotations

from typing import Final

from ports.metrics import Metric, MetricKind, Metrics

CONNECTIONS: Final = Metric(
    "credit_websocket_connections", MetricKind.GAUGE, "WebSocket connections open now, authenticated or not"
)
MESSAGES: Final = Metric(
    "credit_websocket_messages_total",
    MetricKind.COUNTER,
    "WebSocket frames received (in) and sent (out)",
    labels=("direction",),
)
DROPPED: Final = Metric(
    "credit_websocket_dropped_total",
    MetricKind.COUNTER,
    "WebSocket connections refused or ended by the service, by reason",
    labels=("reason",),
)


class SocketMetrics:
    __slots__ = ("_connections", "_dropped", "_messages")

    def __init__(self, metrics: Metrics) -> None:
        self._connections = metrics.register(CONNECTIONS)
        self._messages = metrics.register(MESSAGES)
        self._dropped = metrics.register(DROPPED)

    def opened(self) -> None:
        self._connections.add(1)

    def closed(self) -> None:
        self._connections.add(-1)

    def received(self) -> None:
        self._messages.add(1, "in")

    def sent(self, frames: int) -> None:
        self._messages.add(frames, "out")

    def dropped(self, reason: str) -> None:
        """The reason comes from a closed set: a `CloseCode`'s name in lower case or a denial's code."""
        self._dropped.add(1, reason)
