"""The few ASGI shapes spoken here (ASGI 3.0, websocket spec 2.3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Scope = Mapping[str, Any]
Message = Mapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
# The servers type their message as a dict of their own; what is sent is always a fresh one.
Send = Callable[[dict[str, Any]], Awaitable[None]]

DENIAL_EXTENSION = "websocket.http.response"
