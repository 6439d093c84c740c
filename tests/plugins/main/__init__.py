"""The main plugin."""

from __future__ import annotations
