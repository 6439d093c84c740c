"""The audit log: written beside the changes it names, and read together with the ledger's journal."""

from __future__ import annotations
