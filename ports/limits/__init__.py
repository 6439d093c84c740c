"""Rate limits, bans, and the messages of users."""

from __future__ import annotations
