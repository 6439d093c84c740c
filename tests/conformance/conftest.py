"""Fixtures every port's suite runs on."""

from __future__ import annotations

from tests.conformance.limiters import open_limiter
from tests.conformance.runtimes import run, run_real

__all__ = ["open_limiter", "run", "run_real"]
