"""HTTP: the application over Quart and the guard in front of it."""

from __future__ import annotations
