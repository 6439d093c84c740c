"""What the application needs from outside, as Protocols in the domain's words: one capability a file."""

from __future__ import annotations
