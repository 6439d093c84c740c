"""Modules that the main plugin offers to others."""

from __future__ import annotations
