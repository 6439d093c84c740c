"""What redis-py is asked for: one connection at a time, no retries, no pool, no surprises."""

from __future__ import annotations

from typing import Any

from redis.backoff import NoBackoff
from redis.retry import Retry

PORT = 6379


def connection_options(parsed: dict[str, Any], password: str | None) -> dict[str, Any]:
    """A connection's arguments from the parsed URL."""
    settled = {
        **parsed,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "driver_info": None,
        "health_check_interval": 0,
    }
    settled.pop("connection_class", None)
    if password is not None:
        settled["password"] = password
    return settled
