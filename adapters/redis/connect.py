"""Which of redis-py's clients fits a runtime, and whether one server is spoken to or a cluster."""

from __future__ import annotations

from functools import partial

from adapters.redis.address import cluster_address
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
    cluster = cluster_address(url)
    if cluster is None:
        return one(url=url)

    def driver_at(address: Address) -> RedisDriver:
        return one(url=cluster.url_at(address), in_cluster=True)

    for seed in cluster.seeds:
        driver_at(seed)  # a URL that is none is told of now
    return RedisCluster(runtime=runtime, seeds=cluster.seeds, driver_at=driver_at, trust=trust)


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
