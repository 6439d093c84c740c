"""HTTP and the guard, through the ASGI application as a server calls it."""

from __future__ import annotations
