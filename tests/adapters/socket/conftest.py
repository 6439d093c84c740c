"""Every rule of the transport holds on each runtime."""

from __future__ import annotations

from tests.conformance.runtimes import run

__all__ = ["run"]
