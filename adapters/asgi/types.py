"""ASGI's words (ASGI 3.0; websocket spec 2.3)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

Header = tuple[bytes, bytes]
RawHeaders = list[Header]

DENIAL_EXTENSION = "websocket.http.response"
"""With it a server gives an HTTP answer in place of an upgrade."""
