"""Realtime's use cases: who is connected here, and how messages reach them."""

from __future__ import annotations
