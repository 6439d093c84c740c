"""Concurrency on asyncio, uvloop and trio."""

from __future__ import annotations
