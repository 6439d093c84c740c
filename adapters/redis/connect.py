"""Which of redis-py's clients fits a runtime."""

from __future__ import annotations

from adapters.redis.asynchronous import AsyncConnector
from adapters.redis.driver import CONNECT_TIMEOUT_MS_MAX, DECISION_TIMEOUT_MS_MAX, Connector, RedisDriver
from adapters.redis.threaded import ThreadedConnector
from ports.runtime import Runtime

_ASYNCIO_RUNTIMES = frozenset({"asyncio", "uvloop"})


def connect(
    runtime: Runtime,
    *,
    url: str,
    password: str | None = None,
    decision_timeout_ms_max: int = DECISION_TIMEOUT_MS_MAX,
    connect_timeout_ms_max: int = CONNECT_TIMEOUT_MS_MAX,
) -> RedisDriver:
    """A driver for `redis://user@host:port/db` or `rediss://…?ssl_ca_certs=…`.

    It connects with its first command and again whenever the connection was lost. Call it while the
    runtime runs. Raises ValueError for a URL that is none.
    """
    connector: Connector
    if runtime.name in _ASYNCIO_RUNTIMES:
        connector = AsyncConnector(
            runtime=runtime, url=url, password=password, connect_timeout_ms_max=connect_timeout_ms_max
        )
    else:
        connector = ThreadedConnector(
            runtime=runtime, url=url, password=password, connect_timeout_ms_max=connect_timeout_ms_max
        )
    return RedisDriver(runtime=runtime, connector=connector, timeout_ms_max=decision_timeout_ms_max)
