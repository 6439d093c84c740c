"""Realtime: what travels over a WebSocket, and by which rules."""
