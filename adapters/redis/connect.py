"""Which of redis-py's clients fits a runtime, and whether one server is spoken to or a cluster."""

from __future__ import annotations

from functools import partial
from urllib.parse import SplitResult, urlsplit

from adapters.redis.asynchronous import AsyncConnector
from adapters.redis.cluster import Address, RedisCluster
from adapters.redis.driver import (
    CONNECT_TIMEOUT_MS_MAX,
    DECISION_TIMEOUT_MS_MAX,
    Connector,
    Redis,
    RedisDriver,
)
from adapters.redis.threaded import ThreadedConnector
from ports.runtime import Runtime

_ASYNCIO_RUNTIMES = frozenset({"asyncio", "uvloop"})
_CLUSTER = "+cluster"
_PORT = 6379


def connect(
    runtime: Runtime,
    *,
    url: str,
    password: str | None = None,
    decision_timeout_ms_max: int = DECISION_TIMEOUT_MS_MAX,
    connect_timeout_ms_max: int = CONNECT_TIMEOUT_MS_MAX,
    lanes: int = 1,
) -> Redis:
    """A driver for `redis://user@host:port/db` or `rediss://…?ssl_ca_certs=…`; for a cluster
    `redis+cluster://user@host:port,host:port` or `rediss+cluster://…`, which names some of its nodes.

    It connects with its first command and again whenever a connection was lost. Call it while the
    runtime runs. `lanes` are the connections to each server. Raises ValueError for a URL that is none.
    """
    one = partial(
        _one_server,
        runtime,
        password=password,
        decision_timeout_ms_max=decision_timeout_ms_max,
        connect_timeout_ms_max=connect_timeout_ms_max,
        lanes=lanes,
    )
    scheme, _, rest = url.partition("://")
    if not scheme.endswith(_CLUSTER):
        return one(url=url)
    scheme = scheme.removesuffix(_CLUSTER)
    user, at, others = rest.rpartition("@")
    hosts = others.partition("/")[0].partition("?")[0]
    seeds = [_address(host) for host in hosts.split(",") if host]
    tail = others[len(hosts) :]

    def driver_at(address: Address) -> RedisDriver:
        host, port = address
        return one(url=f"{scheme}://{user}{at}{f'[{host}]' if ':' in host else host}:{port}{tail}")

    for seed in seeds:
        driver_at(seed)  # a URL that is none is told of now
    return RedisCluster(runtime=runtime, seeds=seeds, driver_at=driver_at)


def _one_server(
    runtime: Runtime,
    *,
    url: str,
    password: str | None,
    decision_timeout_ms_max: int,
    connect_timeout_ms_max: int,
    lanes: int,
) -> RedisDriver:
    connector: Connector
    if runtime.name in _ASYNCIO_RUNTIMES:
        connector = AsyncConnector(
            runtime=runtime, url=url, password=password, connect_timeout_ms_max=connect_timeout_ms_max
        )
    else:
        connector = ThreadedConnector(
            runtime=runtime, url=url, password=password, connect_timeout_ms_max=connect_timeout_ms_max
        )
    return RedisDriver(
        runtime=runtime, connector=connector, timeout_ms_max=decision_timeout_ms_max, lanes=lanes
    )


def _address(host: str) -> Address:
    parts: SplitResult = urlsplit(f"//{host}")
    if not parts.hostname:
        raise ValueError("a node of a cluster is named host:port")
    return parts.hostname, parts.port or _PORT
