"""Opens a driver: which of redis-py's clients fits the runtime, and one server or a cluster."""

from __future__ import annotations

from functools import partial

from adapters.redis.driver.address import cluster_address
from adapters.redis.driver.async_connection import AsyncConnector
from adapters.redis.driver.cluster import Address, RedisCluster
from adapters.redis.driver.failover import Generation
from adapters.redis.driver.interface import Connector, RedisDriver
from adapters.redis.driver.single_server import CONNECT_TIMEOUT_MS_MAX, DECISION_TIMEOUT_MS_MAX, SingleServer
from adapters.redis.driver.threaded_connection import ThreadedConnector
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
    generation: Generation | None = None,
) -> RedisDriver:
    """A driver for `redis://user@host:port/db` or `rediss://…?ssl_ca_certs=…`; for a cluster
    `redis+cluster://user@host:port,host:port` or `rediss+cluster://…`, which names some of its nodes.

    It connects with its first command and again whenever a connection was lost. Call it while the
    runtime runs. `lanes` are the connections to each server; drivers of one URL share a `generation`. Raises
    ValueError for a URL that is none.
    """
    generation = generation or Generation(runtime)
    one = partial(
        _one_server,
        runtime,
        password=password,
        decision_timeout_ms_max=decision_timeout_ms_max,
        connect_timeout_ms_max=connect_timeout_ms_max,
        lanes=lanes,
        generation=generation,
    )
    cluster = cluster_address(url)
    if cluster is None:
        return one(url=url)

    def driver_at(address: Address) -> SingleServer:
        return one(url=cluster.url_at(address), in_cluster=True)

    for seed in cluster.seeds:
        driver_at(seed)  # a URL that is none is told of now
    return RedisCluster(runtime=runtime, seeds=cluster.seeds, driver_at=driver_at, generation=generation)


def _one_server(
    runtime: Runtime,
    *,
    url: str,
    password: str | None,
    decision_timeout_ms_max: int,
    connect_timeout_ms_max: int,
    lanes: int,
    generation: Generation,
    in_cluster: bool = False,
) -> SingleServer:
    connector: Connector
    if runtime.name in _ASYNCIO_RUNTIMES:
        connector = AsyncConnector(
            runtime=runtime, url=url, password=password, connect_timeout_ms_max=connect_timeout_ms_max
        )
    else:
        connector = ThreadedConnector(
            runtime=runtime, url=url, password=password, connect_timeout_ms_max=connect_timeout_ms_max
        )
    return SingleServer(
        runtime=runtime,
        connector=connector,
        timeout_ms_max=decision_timeout_ms_max,
        lanes=lanes,
        generation=generation,
        in_cluster=in_cluster,
    )
