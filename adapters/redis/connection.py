"""What redis-py is asked for: one connection at a time, no retries, no pool, no surprises."""

from __future__ import annotations

from typing import Any

from redis.backoff import NoBackoff
from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.retry import Retry

from adapters.redis.driver import DEPENDENCY, Refusal, WrongServer
from ports.errors import DependencyUnavailable

_CODES: tuple[tuple[type[ResponseError], str], ...] = (
    (NoScriptError, "NOSCRIPT"),
    (OutOfMemoryError, "OOM"),
    (ReadOnlyError, "READONLY"),
    (MovedError, "MOVED"),
    (AskError, "ASK"),
    (MasterDownError, "MASTERDOWN"),
    # After it, whose base it is.
    (ClusterDownError, "CLUSTERDOWN"),
)
_ABOUT_THE_SERVER = (AuthenticationError, BusyLoadingError)
"""What redis-py raises of a connection where the server refused one command."""


def refusal(error: ResponseError) -> Refusal:
    """redis-py strips an error's code where it has a class for it, and keeps it elsewhere."""
    text = str(error)
    for kind, code in _CODES:
        if isinstance(error, kind):
            return Refusal(code, text)
    word, _, detail = text.partition(" ")
    is_code = word.isascii() and word.isalpha() and word.isupper()
    return Refusal(word, detail) if is_code else Refusal("ERR", text)


def unavailable(error: Exception) -> DependencyUnavailable:
    """In words without address or credentials: redis-py's own go no further than the cause."""
    kind = type(error).__name__ if isinstance(error, RedisError) else "no answer in time"
    if isinstance(error, _ABOUT_THE_SERVER):
        return WrongServer(DEPENDENCY, kind)
    return DependencyUnavailable(DEPENDENCY, kind)


def options(parsed: dict[str, Any], password: str | None) -> dict[str, Any]:
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
