"""Side-by-side measurements; README.md says how to read them. It imports nothing: peers load it, too."""

from __future__ import annotations
