"""What HTTP and WebSocket share: ASGI's types, the request context, problems, addresses, credentials."""

from __future__ import annotations
