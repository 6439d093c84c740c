"""In what order and for how long tests run; real servers for the whole session.

A server starts when a test first asks. One that cannot start is a failure.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

import tests.seeds  # noqa: F401 - before any module of tests is read, for how many examples they draw
from tests.servers.mongod import MongodServer
from tests.servers.redis_cluster import RedisCluster
from tests.servers.redis_server import RedisServer

MINUTES = float(os.environ.get("TEST_MINUTES", "inf"))
"""After so many, no further test begins: a long run ends in time with what it has tried."""
_began_s = time.monotonic()

LONG_FIRST = frozenset({"bare", "system", "clients", "composition", "conformance", "readme"})
"""Folders whose tests take seconds. Begun last, one of them would keep a single process busy in the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts long tests first where test processes run side by side; alone, the short ones fail sooner."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: LONG_FIRST.isdisjoint(item.path.parent.parts))


def pytest_runtest_setup() -> None:
    if time.monotonic() - _began_s > MINUTES * 60:
        pytest.skip("the time of this run is up")


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
