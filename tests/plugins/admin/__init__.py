"""The admin plugin."""

from __future__ import annotations
