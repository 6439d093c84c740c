"""Rate limits, bans, and what one user may say."""

from __future__ import annotations
