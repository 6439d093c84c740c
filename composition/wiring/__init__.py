"""Wires use cases onto stores, and the outermost layers onto the use cases."""

from __future__ import annotations
