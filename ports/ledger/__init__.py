"""Where the ledger is kept, and how its writers meet."""

from __future__ import annotations
