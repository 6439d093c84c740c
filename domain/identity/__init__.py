"""Users, sessions, tokens, API keys and permissions."""

from __future__ import annotations
