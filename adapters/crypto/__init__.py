"""Password hashing, token signatures and sealing, on the `cryptography` library."""

from __future__ import annotations
