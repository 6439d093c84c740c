"""Redis: the connection seam, the limiter's one script, the bus."""

from __future__ import annotations
