"""This project's own side of each row, run in a process of its own."""

from __future__ import annotations
