"""Encryption of stored fields, as use cases see it."""

from __future__ import annotations
