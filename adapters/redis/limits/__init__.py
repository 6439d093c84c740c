"""Limits and bans in Redis: one script call a decision."""

from __future__ import annotations
