"""The journal, its checkpoints, the claims to it and its clock, in MongoDB."""

from __future__ import annotations
