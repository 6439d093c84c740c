"""Use cases over memory adapters, on every runtime."""

from __future__ import annotations
