"""MongoDB: the driver seam and the repositories that stand on it."""

from __future__ import annotations
