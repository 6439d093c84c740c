"""One suite per port, run over every adapter of it."""

from __future__ import annotations
