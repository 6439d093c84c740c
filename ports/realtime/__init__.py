"""Messages between workers and to connections."""

from __future__ import annotations
