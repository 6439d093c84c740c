"""WebSockets, through the ASGI application and through real servers."""

from __future__ import annotations
