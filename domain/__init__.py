"""Pure rules: values in, decisions out. No I/O, clock, randomness, concurrency or third party."""

from __future__ import annotations
