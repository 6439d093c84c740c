"""Where identity is kept, and what proves it."""

from __future__ import annotations
