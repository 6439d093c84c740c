"""Plugins' documents, and queries of them."""

from __future__ import annotations
