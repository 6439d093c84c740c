"""Encryption of stored fields, while the service runs."""

from __future__ import annotations
