"""Every store in memory: complete and bounded, for demos and tests."""

from __future__ import annotations
