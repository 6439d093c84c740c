"""The stores of identity, and the means to prove it."""

from __future__ import annotations
