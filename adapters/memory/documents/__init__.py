"""Plugins' documents and cached answers, in memory."""

from __future__ import annotations
