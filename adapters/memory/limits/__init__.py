"""Limits and bans, in memory."""

from __future__ import annotations
