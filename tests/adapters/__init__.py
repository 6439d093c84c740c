"""The adapters that are seen from outside."""

from __future__ import annotations
