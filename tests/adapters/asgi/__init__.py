"""What HTTP and WebSocket share."""

from __future__ import annotations
