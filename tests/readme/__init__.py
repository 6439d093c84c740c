"""The words hold: the README's walk is run, and what the documents name exists."""

from __future__ import annotations
