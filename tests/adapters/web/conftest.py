"""Every test here runs on asyncio and on trio."""

from __future__ import annotations

from tests.conformance.runtimes import run_real

__all__ = ["run_real"]
