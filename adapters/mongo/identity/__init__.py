"""Users, sessions, keys and what guards them, in MongoDB."""

from __future__ import annotations
