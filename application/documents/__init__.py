"""The use cases of plugins' documents."""

from __future__ import annotations
