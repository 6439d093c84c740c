"""The audit log: written beside what happens, and read together with the ledger's journal."""

from __future__ import annotations
