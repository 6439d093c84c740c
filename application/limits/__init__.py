"""Rate limits and bans: who is charged, who is refused, and what administrators change."""

from __future__ import annotations
