"""Plugins' documents in MongoDB."""

from __future__ import annotations
