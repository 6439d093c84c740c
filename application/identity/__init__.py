"""Identity's use cases: users, sessions, tokens and service keys, and how each ends."""

from __future__ import annotations
