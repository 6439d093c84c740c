"""Authenticated encryption."""

from __future__ import annotations
