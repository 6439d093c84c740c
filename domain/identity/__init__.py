"""Users, sessions, tokens, keys, and who may do what."""

from __future__ import annotations
