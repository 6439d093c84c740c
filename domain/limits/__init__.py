"""Windows, violations and bans: one decision about all identifiers of a request."""

from __future__ import annotations
