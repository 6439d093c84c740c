"""Plugins' documents: roles, audit, and queries that are cached and never stale."""

from __future__ import annotations
