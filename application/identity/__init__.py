"""The use cases of identity: users, sessions, tokens and API keys, from their start to their end."""

from __future__ import annotations
