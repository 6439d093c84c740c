"""Real servers for the whole session, started when a test first asks. One that cannot start is a failure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.mongod import MongodServer
from tests.servers.redis_cluster import RedisCluster
from tests.servers.redis_server import RedisServer


@pytest.fixture(scope="session")
def mongod() -> Iterator[MongodServer]:
    """MongoDB with TLS, users and a replica set of one. A test that stops it starts it again."""
    server = MongodServer()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """Redis with TLS and a user. A test that stops it starts it again."""
    server = RedisServer()
    try:
        yield server.start()
    finally:
        server.close()


@pytest.fixture(scope="session")
def redis_cluster() -> Iterator[RedisCluster]:
    """Three masters. A test that stops one starts it again."""
    cluster = RedisCluster()
    try:
        yield cluster.start()
    finally:
        cluster.close()
