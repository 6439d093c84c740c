"""Concurrency on asyncio, uvloop, trio, and simulated with virtual time."""

from __future__ import annotations
