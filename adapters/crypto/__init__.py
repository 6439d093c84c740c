"""Keys at work: password hashing, token signatures, sealed values."""

from __future__ import annotations
