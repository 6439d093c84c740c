"""Whole scenarios in virtual time, with injected faults, replayed from a seed."""

from __future__ import annotations
