"""The commands of `creditctl`."""

from __future__ import annotations
