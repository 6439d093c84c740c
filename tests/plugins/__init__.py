"""Plugins over the whole service in memory."""

from __future__ import annotations
