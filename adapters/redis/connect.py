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
from adapters.redis.trust import Trust
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
    trust: Trust | None = None,
) -> Redis:
    """A driver for `redis://user@host:port/db` or `rediss://…?ssl_ca_certs=…`; for a cluster
    `redis+cluster://user@host:port,host:port` or `rediss+cluster://…`, which names some of its nodes.

    It connects with its first command and again whenever a connection was lost. Call it while the
    runtime runs. `lanes` are the connections to each server; drivers of one URL share a `trust`. Raises
    ValueError for a URL that is none.
    """
    trust = trust or Trust(runtime)
    one = partial(
        _one_server,
        runtime,
        password=password,
        decision_timeout_ms_max=decision_timeout_ms_max,
        connect_timeout_ms_max=connect_timeout_ms_max,
        lanes=lanes,
        trust=trust,
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
        node = f"[{host}]" if ":" in host else host
        return one(url=f"{scheme}://{user}{at}{node}:{port}{tail}", in_cluster=True)

    for seed in seeds:
        driver_at(seed)  # a URL that is none is told of now
    return RedisCluster(runtime=runtime, seeds=seeds, driver_at=driver_at, trust=trust)


def _one_server(
    runtime: Runtime,
    *,
    url: str,
    password: str | None,
    decision_timeout_ms_max: int,
    connect_timeout_ms_max: int,
    lanes: int,
    trust: Trust,
    in_cluster: bool = False,
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
        runtime=runtime,
        connector=connector,
        timeout_ms_max=decision_timeout_ms_max,
        lanes=lanes,
        trust=trust,
        in_cluster=in_cluster,
    )


def _address(host: str) -> Address:
    parts: SplitResult = urlsplit(f"//{host}")
    if not parts.hostname:
        raise ValueError("a node of a cluster is named host:port")
    return parts.hostname, parts.port or _PORT
