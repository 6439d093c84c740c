"""Settings and secrets: read once, checked whole."""

from __future__ import annotations
