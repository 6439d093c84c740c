"""Metrics as Prometheus text."""

from __future__ import annotations
