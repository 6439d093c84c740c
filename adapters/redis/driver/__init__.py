"""redis-py behind `interface.RedisDriver`: `connect` opens, `errors` translates what redis-py raises."""

from __future__ import annotations
