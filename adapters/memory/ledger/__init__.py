"""The journal and the claims to it, in memory."""

from __future__ import annotations
