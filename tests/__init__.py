"""Proof: conformance, properties, simulation, and the real system."""

from __future__ import annotations
