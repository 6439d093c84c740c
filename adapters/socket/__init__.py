"""WebSocket: a raw ASGI application beside Quart."""

from __future__ import annotations
