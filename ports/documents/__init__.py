"""The stores of plugins' documents and of cached answers."""

from __future__ import annotations
