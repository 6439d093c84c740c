"""What the application needs from outside, as Protocols in the domain's words: one need a file."""

from __future__ import annotations
