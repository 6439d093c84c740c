"""Features: each registers its module, routes, hooks and metrics."""

from __future__ import annotations
