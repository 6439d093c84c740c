"""The runtime in virtual time: races and crashes that are replayed from a seed."""

from __future__ import annotations
