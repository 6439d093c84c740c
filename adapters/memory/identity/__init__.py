"""Users, sessions, keys and what guards them, in memory."""

from __future__ import annotations
