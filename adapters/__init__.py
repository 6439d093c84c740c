"""One folder per technology, each fitting ports; adapters never import each other."""

from __future__ import annotations
