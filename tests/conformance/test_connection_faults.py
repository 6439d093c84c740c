"""Whoever cannot be connected to is named, with what is wrong, alike for MongoDB and Redis and on every
runtime.

Real servers: with TLS and users, without either, one that says nothing, and none at all.
"""

from __future__ import annotations

import gc
import shutil
import socket
import tempfile
import warnings
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from pymongo.errors import AutoReconnect, WaitQueueTimeoutError
from pymongo.hello import Hello
from pymongo.monitoring import ServerHeartbeatFailedEvent, ServerHeartbeatSucceededEvent

from adapters.mongo.driver.client import Bounds
from adapters.mongo.driver.connect import connect as connect_mongo
from adapters.mongo.driver.heartbeats import Heartbeats
from adapters.redis.driver.connect import connect as connect_redis
from ports.errors import ConnectionFault as Fault
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime
from tests.conformance.runtimes import Driver, run_real
from tests.servers.certificates import write_certificates
from tests.servers.mongod import MongodServer
from tests.servers.mongod_node import find_mongod
from tests.servers.process import ServerProcess, free_port
from tests.servers.redis_server import RedisServer, find_redis_server

__all__ = ["run_real"]

PASSWORD = "wrong-but-long-enough"
BOUND_MS = 2_000
NOWHERE = "no-such-host.invalid"
ABBREVIATED = "127.1"
"""An address that the certificates do not name."""


@dataclass(frozen=True, slots=True)
class Plain:
    """A server without TLS or users: its port."""

    mongod: int
    redis: int


@pytest.fixture(scope="module")
def plain() -> Iterator[Plain]:
    directory = Path(tempfile.mkdtemp(prefix="credit-plain-"))
    ports = Plain(free_port(), free_port())
    (directory / "data").mkdir()
    mongod = [
        *(str(find_mongod()), "--dbpath", str(directory / "data"), "--bind_ip", "127.0.0.1"),
        *("--port", str(ports.mongod), "--nounixsocket", "--wiredTigerCacheSizeGB", "0.25"),
    ]
    redis = [str(find_redis_server()), "--bind", "127.0.0.1", "--port", str(ports.redis), "--save", ""]
    processes = [
        (ServerProcess(mongod, directory / "mongod.log"), ports.mongod),
        (ServerProcess([*redis, "--dir", str(directory)], directory / "redis.log"), ports.redis),
    ]
    try:
        for process, port in processes:
            process.start()
            process.wait_until(partial(accepts, port), "it accepted", deadline_s_max=30.0)
        yield ports
    finally:
        for process, _ in processes:
            process.kill()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port where connections are made and nothing is ever said."""
    with socket.create_server(("127.0.0.1", 0), backlog=128) as listening:
        yield listening.getsockname()[1]


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """An authority that signed nobody's certificate."""
    return write_certificates(tmp_path).ca_file


def accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def reasons(runtime: Runtime, calls: Mapping[str, Callable[[], Awaitable[object]]]) -> dict[str, str]:
    """What each call failed with, all tried at once."""

    async def reason(call: Callable[[], Awaitable[object]]) -> str:
        try:
            await call()
        except DependencyUnavailable as error:
            return error.reason
        return "no fault"

    tasks = {name: runtime.start(partial(reason, call), name=name) for name, call in calls.items()}
    return {name: await task.wait() for name, task in tasks.items()}


def test_mongodb(run_real: Driver, mongod: MongodServer, plain: Plain, silent: int, stranger: Path) -> None:
    at, tls = f"127.0.0.1:{mongod.port}", f"&tls=true&tlsCAFile={mongod.ca_file}"
    app = (mongod.app.user, mongod.app.password)
    cases: dict[str, tuple[str, tuple[str, str], str]] = {
        "refused": ("mongodb://127.0.0.1:1/?replicaSet=rs0", app, f"127.0.0.1:1: {Fault.REFUSED.value}"),
        "name": (f"mongodb://{NOWHERE}/?replicaSet=rs0", app, f"{NOWHERE}:27017: {Fault.NAME.value}"),
        "service name": (f"mongodb+srv://{NOWHERE}/", app, f"{NOWHERE}: {Fault.NAME.value}"),
        "silent": (f"mongodb://127.0.0.1:{silent}/?replicaSet=rs0", app,
                   f"127.0.0.1:{silent}: {Fault.SILENT.value}"),
        "TLS is wanted": (f"mongodb://{at}/?replicaSet=rs0", app, f"{at}: {Fault.CLOSED_PLAIN.value}"),
        "TLS is not there": (f"mongodb://127.0.0.1:{plain.mongod}/?replicaSet=rs0{tls}", app,
                             f"127.0.0.1:{plain.mongod}: {Fault.HANDSHAKE.value}"),
        "untrusted": (f"mongodb://{at}/?replicaSet=rs0&tls=true&tlsCAFile={stranger}", app,
                      f"{at}: {Fault.UNTRUSTED.value} (self-signed certificate in certificate chain)"),
        "another name": (f"mongodb://{ABBREVIATED}:{mongod.port}/?replicaSet=rs0{tls}", app,
                         f"{ABBREVIATED}:{mongod.port}: {Fault.OTHER_NAME.value}"),
        "another set": (f"mongodb://{at}/?replicaSet=rsX{tls}", app,
                        f"{at}: is of the replica set rs0, and the URL says rsX"),
        "no set": (f"mongodb://127.0.0.1:{plain.mongod}/?replicaSet=rs0", app,
                   f"127.0.0.1:{plain.mongod}: is of no replica set, and the URL says replicaSet=rs0"),
        "password": (mongod.url, (mongod.app.user, PASSWORD), f"{at}: {Fault.LOGIN.value}"),
        "user": (mongod.url, ("nobody", PASSWORD), f"{at}: {Fault.LOGIN.value}"),
        "not permitted": (mongod.url, (mongod.analytics.user, mongod.analytics.password),
                          f"{at}: the user is not permitted to insert in the database credit_system"),
    }  # fmt: skip

    async def body(runtime: Runtime) -> dict[str, str]:
        async def insert(url: str, user: str, password: str) -> None:
            driver = await connect_mongo(
                runtime=runtime, url=url, user=user, password=password, role="read_write",
                bounds=Bounds(operation_timeout_ms_max=BOUND_MS, connect_timeout_ms_max=BOUND_MS // 2),
            )  # fmt: skip
            try:
                await driver.collection("faults").insert_one({})
            finally:
                await driver.close()

        return await reasons(
            runtime, {name: partial(insert, url, *login) for name, (url, login, _) in cases.items()}
        )

    with warnings.catch_warnings():
        # Closed while it connects, PyMongo's asynchronous client leaves the socket to the garbage collector.
        warnings.simplefilter("ignore", ResourceWarning)
        found = run_real(body)
        gc.collect()
    assert found == {name: f"{said} (as read_write)" for name, (_, _, said) in cases.items()}


def test_redis(
    run_real: Driver, redis_server: RedisServer, plain: Plain, silent: int, stranger: Path
) -> None:
    at, user = f"127.0.0.1:{redis_server.port}", redis_server.user
    good = redis_server.password
    cases: dict[str, tuple[str, str, str]] = {
        "refused": ("redis://127.0.0.1:1/0", good, f"127.0.0.1:1: {Fault.REFUSED.value}"),
        "name": (f"redis://{NOWHERE}/0", good, f"{NOWHERE}:6379: {Fault.NAME.value}"),
        "silent": (f"redis://127.0.0.1:{silent}/0", good, f"127.0.0.1:{silent}: {Fault.SILENT.value}"),
        "silent with TLS": (f"rediss://127.0.0.1:{silent}/0", good,
                            f"127.0.0.1:{silent}: {Fault.SILENT_TLS.value}"),
        "TLS is wanted": (f"redis://{user}@{at}/0", good, f"{at}: {Fault.CLOSED_PLAIN.value}"),
        "TLS is not there": (f"rediss://127.0.0.1:{plain.redis}/0", good,
                             f"127.0.0.1:{plain.redis}: {Fault.SILENT_TLS.value}"),
        "untrusted": (f"rediss://{user}@{at}/0?ssl_ca_certs={stranger}", good,
                      f"{at}: {Fault.UNTRUSTED.value} (self-signed certificate in certificate chain)"),
        "another name": (redis_server.url.replace("127.0.0.1", ABBREVIATED), good,
                         f"{ABBREVIATED}:{redis_server.port}: {Fault.OTHER_NAME.value}"),
        "password": (redis_server.url, PASSWORD, f"{at}: {Fault.LOGIN.value}"),
        "user": (redis_server.url.replace(f"{user}@", "nobody@"), PASSWORD, f"{at}: {Fault.LOGIN.value}"),
        "of a cluster": ("redis+cluster://127.0.0.1:1,127.0.0.1:2", good,
                         f"127.0.0.1:2: {Fault.REFUSED.value}"),
    }  # fmt: skip

    async def body(runtime: Runtime) -> dict[str, str]:
        async def reach(url: str, password: str) -> None:
            driver = connect_redis(
                runtime,
                url=url,
                password=password,
                decision_timeout_ms_max=BOUND_MS,
                connect_timeout_ms_max=1_000,
            )
            try:
                await driver.reach()
            finally:
                await driver.close()

        return await reasons(
            runtime, {name: partial(reach, url, password) for name, (url, password, _) in cases.items()}
        )

    assert run_real(body) == {name: said for name, (_, _, said) in cases.items()}


def test_a_redis_that_was_slow_to_fail_is_named_to_those_who_come_right_after(
    run_real: Driver, silent: int
) -> None:
    async def body(runtime: Runtime) -> None:
        url = f"redis://127.0.0.1:{silent}/0"
        driver = connect_redis(runtime, url=url, password=PASSWORD, connect_timeout_ms_max=300)
        with pytest.raises(DependencyUnavailable):
            await driver.reach()
        with pytest.raises(
            DependencyUnavailable, match=rf"127.0.0.1:{silent}: no answer in time \(a moment ago\)"
        ):
            await driver.execute(b"PING")
        await driver.close()

    run_real(body)


def said(member: tuple[str, int], **hello: object) -> ServerHeartbeatSucceededEvent:
    return ServerHeartbeatSucceededEvent(0.1, Hello({"ok": 1, "maxWireVersion": 17, **hello}), member)


def test_a_set_without_a_primary_is_told_from_one_that_is_away() -> None:
    watch = Heartbeats("mongodb://one,two:27018/?replicaSet=rs0", role="admin")
    watch.succeeded(said(("one", 27017), setName="rs0", secondary=True, hosts=["one:27017", "two:27018"]))
    lost = AutoReconnect("two:27018: [Errno 111] Connection refused (configured timeouts: …)")
    watch.failed(ServerHeartbeatFailedEvent(0.1, lost, ("two", 27018)))
    assert watch.no_server() == (
        "no primary is elected; one:27017: is no primary; two:27018: connection refused (as admin)"
    )


def test_a_server_that_was_never_heard_is_silent() -> None:
    # Told of here, since PyMongo leaves its socket to the garbage collector when it is closed in a handshake.
    for tls, fault in (("true", Fault.SILENT_TLS), ("false", Fault.SILENT)):
        watch = Heartbeats(f"mongodb://one,[::1]:2/?tls={tls}")
        assert watch.no_server() == f"one:27017: {fault.value}; [::1]:2: {fault.value}"


def test_a_pool_that_is_exhausted_is_said_in_words() -> None:
    watch = Heartbeats("mongodb://one/", role="read_write")
    said = watch.fault(WaitQueueTimeoutError("Timed out while checking out a connection: maxPoolSize: 20"))
    assert (
        said == "one:27017: no connection became free in time; all are in use or being opened (as read_write)"
    )


def test_what_a_connection_in_use_ends_with_is_no_reason_to_speak_of_tls() -> None:
    watch = Heartbeats("mongodb://one/?replicaSet=rs0")
    closed = AutoReconnect("one:27017: connection closed")
    assert watch.fault(closed) == f"one:27017: {Fault.CLOSED_PLAIN.value}"
    watch.succeeded(said(("one", 27017), setName="rs0", isWritablePrimary=True))
    assert watch.fault(closed) == f"one:27017: {Fault.CLOSED.value}"


def test_a_paused_pool_is_told_by_what_the_heartbeats_know() -> None:
    watch = Heartbeats("mongodb://one/?replicaSet=rs0")
    lost = AutoReconnect("one:27017: [Errno 113] No route to host")
    watch.failed(ServerHeartbeatFailedEvent(0.1, lost, ("one", 27017)))
    assert watch.fault(AutoReconnect("one:27017: connection pool paused")) == (
        f"one:27017: {Fault.UNREACHABLE.value}"
    )


def test_of_a_text_that_is_not_known_nothing_is_repeated() -> None:
    watch = Heartbeats("mongodb://one/?replicaSet=rs0")
    assert watch.fault(AutoReconnect(f"something with {PASSWORD} in it")) == "one:27017: AutoReconnect"
