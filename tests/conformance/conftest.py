"""Fixtures every port's suite runs on."""

from __future__ import annotations

from tests.conformance.runtimes import run, run_real

__all__ = ["run", "run_real"]
