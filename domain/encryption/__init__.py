"""Rings of keys: which key writes, and which still read."""

from __future__ import annotations
