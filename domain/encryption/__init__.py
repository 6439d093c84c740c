"""Which keys write and which still read."""

from __future__ import annotations
