"""The credits plugin."""

from __future__ import annotations
