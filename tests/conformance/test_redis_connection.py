"""What the seam to Redis promises, on both of redis-py's clients."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest
import trio
from redis.connection import Connection, parse_url

from adapters.redis.driver.connect import connect
from adapters.redis.driver.connection_options import connection_options
from adapters.redis.driver.errors import Peer
from adapters.redis.driver.failover import Generation
from adapters.redis.driver.interface import RedisDriver, RedisListener, accepted
from adapters.redis.driver.resp import ErrorReply, Reply, pack
from adapters.redis.driver.single_server import SingleServer
from adapters.redis.driver.threaded_connection import ThreadedTransport
from adapters.redis.probes import RedisProbe
from adapters.runtime.trio_runtime import TrioRuntime
from ports.errors import DependencyUnavailable
from ports.runtime import Event, Runtime, TaskCancelled
from tests.conformance.limiters import connected, redis_limiter
from tests.conformance.runtimes import Driver
from tests.servers.redis_cluster import RedisCluster
from tests.servers.redis_server import RedisServer

PATIENT_MS_MAX = 5_000
WAIT_S_MAX = 10.0
BRIEF_MS = 100


def patient(runtime: Runtime, server: RedisServer) -> RedisDriver:
    return connect(
        runtime,
        url=server.url,
        password=server.password,
        decision_timeout_ms_max=PATIENT_MS_MAX,
        connect_timeout_ms_max=PATIENT_MS_MAX,
    )


@contextmanager
def scripted_server(serve: Callable[[int, socket.socket], None]) -> Iterator[str]:
    """A server that does with its n-th connection what the test says; its URL."""
    listening = socket.create_server(("127.0.0.1", 0))
    accepted: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            accepted.append(connection)
            thread = threading.Thread(target=serve, args=(len(accepted), connection))
            threads.append(thread)
            thread.start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"
    finally:
        # Closing alone does not wake a thread that is in accept() or recv().
        listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        acceptor.join(WAIT_S_MAX)
        for connection in accepted:
            with suppress(OSError):  # the other side has closed it already
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(WAIT_S_MAX)
        # Not before: a thread that was about to read would read from nothing.
        for connection in accepted:
            connection.close()


def test_replies_come_in_order_and_a_refused_command_harms_no_neighbour(
    run_real: Driver, redis_server: RedisServer
) -> None:
    async def body(runtime: Runtime) -> None:
        driver = patient(runtime, redis_server)
        replies = await driver.execute_many(
            [("SET", "k", "v"), ("INCR", "k"), ("GET", b"k"), ("STRLEN", "k"), ("GET", "none")]
        )
        assert replies[0] == b"OK"
        assert isinstance(replies[1], ErrorReply)
        assert replies[2:] == [b"v", 1, None]
        await driver.close()

    run_real(body)


def test_concurrent_callers_each_get_their_own_reply(run_real: Driver, redis_server: RedisServer) -> None:
    async def body(runtime: Runtime) -> None:
        driver = patient(runtime, redis_server)

        tasks = [runtime.start(partial(driver.execute, "ECHO", number), name="echo") for number in range(300)]
        assert [await task.wait() for task in tasks] == [b"%d" % number for number in range(300)]
        assert driver.pipelines < 10
        await driver.close()

    run_real(body)


def test_values_of_any_bytes_and_size_come_back_as_they_went(
    run_real: Driver, redis_server: RedisServer
) -> None:
    async def body(runtime: Runtime) -> None:
        driver = patient(runtime, redis_server)
        for value in (b"", b"\r\n$-1\r\n", bytes(range(256)), b"x" * (3 * 2**20)):
            assert await driver.execute("ECHO", value) == value
        await driver.close()

    run_real(body)


def test_a_late_reply_is_never_taken_for_anothers(run_real: Driver) -> None:
    answered = threading.Event()

    def serve(number: int, connection: socket.socket) -> None:
        connection.recv(4_096)
        if number == 1:
            answered.wait(WAIT_S_MAX)
            try:
                connection.sendall(b"+late\r\n")
            except OSError:
                return  # closed by then, as it should be
        else:
            connection.sendall(b"+own\r\n")
            answered.set()

    async def body(runtime: Runtime, url: str) -> None:
        driver = connect(runtime, url=url, decision_timeout_ms_max=100)
        with pytest.raises(DependencyUnavailable, match="redis"):
            await driver.execute("PING")
        assert await driver.execute("PING") == b"own"
        assert driver.connections == 2
        await driver.close()

    with scripted_server(serve) as url:
        run_real(lambda runtime: body(runtime, url))


def test_a_thread_that_comes_late_still_takes_what_has_arrived() -> None:
    class Late(Connection):
        def send_packed_command(self, command: list[bytes], check_health: bool = True) -> None:
            super().send_packed_command(command, check_health)  # type: ignore[no-untyped-call]  # as redis-py left it
            assert self.can_read(timeout=WAIT_S_MAX)
            time.sleep(3 * BRIEF_MS / 1_000)

    def connection(url: str) -> Late:
        parsed: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]  # redis-py left it so
        return Late(**connection_options(parsed, None))  # type: ignore[no-untyped-call]

    async def body(url: str) -> Sequence[Reply]:
        async with (runtime := TrioRuntime()).running():
            transport = ThreadedTransport(runtime, connection(url), Peer("there", tls=True), BRIEF_MS / 1_000)
            await transport.connect()
            replies = await transport.exchange([pack(("PING",)), pack(("PING",))])
            await transport.close()
            return replies

    def serve(_: int, connection: socket.socket) -> None:
        connection.recv(4_096)
        connection.sendall(b"+one\r\n+two\r\n")

    with scripted_server(serve) as url:
        assert trio.run(body, url) == [b"one", b"two"]


def test_a_command_that_failed_is_not_sent_again(run_real: Driver) -> None:
    received: list[bytes] = []

    def serve(_number: int, connection: socket.socket) -> None:
        received.append(connection.recv(4_096))
        connection.shutdown(socket.SHUT_RDWR)

    async def body(runtime: Runtime, url: str) -> None:
        driver = connect(runtime, url=url, decision_timeout_ms_max=PATIENT_MS_MAX)
        for _ in range(2):
            with pytest.raises(DependencyUnavailable):
                await driver.execute("INCR", "decisions")
        await driver.close()

    with scripted_server(serve) as url:
        run_real(lambda runtime: body(runtime, url))
    assert received == [pack(("INCR", "decisions"))] * 2


def test_a_server_that_never_answers_the_greeting_is_given_up(run_real: Driver) -> None:
    def serve(_number: int, connection: socket.socket) -> None:
        connection.recv(4_096)

    async def body(runtime: Runtime, url: str) -> None:
        driver = connect(runtime, url=url, password="secret", connect_timeout_ms_max=100)
        with pytest.raises(DependencyUnavailable):
            await driver.execute("PING")
        listener = driver.listener()
        with pytest.raises(DependencyUnavailable):
            await listener.connect()
        await listener.close()
        await driver.close()

    with scripted_server(serve) as url:
        run_real(lambda runtime: body(runtime, url))


def test_a_caller_that_is_cancelled_leaves_the_connection_in_order(
    run_real: Driver, redis_server: RedisServer
) -> None:
    async def body(runtime: Runtime) -> None:
        driver = patient(runtime, redis_server)
        await driver.execute("PING")
        sent = [runtime.start(lambda: driver.execute("ECHO", "gone"), name="gone") for _ in range(5)]
        await runtime.sleep(0)
        for task in sent:
            task.cancel()
        assert await driver.execute("ECHO", "here") == b"here"
        assert driver.connections == 1
        await driver.close()

    run_real(body)


def test_a_wrong_password_or_authority_is_unavailable_and_no_secret_is_told(
    run_real: Driver, redis_server: RedisServer
) -> None:
    async def body(runtime: Runtime) -> None:
        url = redis_server.url
        for wrong_url, password in ((url, "hunter2hunter2"), (url.split("?")[0], redis_server.password)):
            driver = connect(runtime, url=wrong_url, password=password)
            with pytest.raises(DependencyUnavailable) as caught:
                await driver.execute("PING")
            assert password not in str(caught.value)
            assert f"127.0.0.1:{redis_server.port}: " in str(caught.value)
            await driver.close()

    run_real(body)


def test_a_connection_lost_while_idle_costs_no_command(run_real: Driver, redis_server: RedisServer) -> None:
    async def body(runtime: Runtime) -> None:
        driver, other = patient(runtime, redis_server), patient(runtime, redis_server)
        number = await driver.execute("CLIENT", "ID")
        assert isinstance(number, int)
        await other.execute("CLIENT", "KILL", "ID", number)
        while f"id={number} " in str(await other.execute("CLIENT", "LIST")):
            await runtime.sleep(0.001)
        async with runtime.deadline(WAIT_S_MAX):
            while driver.connections == 1:
                # Its own loop may not have read the server's farewell yet; then a command is lost, once.
                try:
                    await driver.execute("PING")
                except DependencyUnavailable:
                    await runtime.sleep(0.001)
        assert await driver.execute("PING") == b"PONG"
        assert driver.connections == 2
        await driver.close()
        await other.close()

    run_real(body)


def probe_of(driver: RedisDriver) -> RedisProbe:
    return RedisProbe(driver=driver, limiter=redis_limiter(driver, None))


def test_the_probe_passes_while_redis_answers_and_fails_while_it_does_not(
    run_real: Driver, redis_server: RedisServer
) -> None:
    async def body(runtime: Runtime) -> None:
        driver = patient(runtime, redis_server)
        probe = probe_of(driver)
        assert (probe.name, probe.role) == ("redis", "limiter")
        await probe.check()
        redis_server.kill()
        try:
            with pytest.raises(DependencyUnavailable):
                await probe.check()
        finally:
            redis_server.start()
        await probe.check()
        await driver.close()

    run_real(body)


AILMENTS = {
    "no replica": (
        ("CONFIG", "SET", "min-replicas-to-write", 1),
        ("CONFIG", "SET", "min-replicas-to-write", 0),
    ),
    "no memory": (("CONFIG", "SET", "maxmemory", 1), ("CONFIG", "SET", "maxmemory", 256 * 2**20)),
    "a replica now": (("REPLICAOF", "127.0.0.1", 1), ("REPLICAOF", "NO", "ONE")),
    "no list of bans": (("ACL", "SETUSER", "credit", "-zadd"), ("ACL", "SETUSER", "credit", "+@all")),
    "no revocations": (("ACL", "SETUSER", "credit", "-pexpire"), ("ACL", "SETUSER", "credit", "+@all")),
    "no scripts": (("ACL", "SETUSER", "credit", "-evalsha"), ("ACL", "SETUSER", "credit", "+@all")),
}
"""Commands that make a server that answers PING and cannot do its work, and well again."""


@pytest.mark.parametrize("ailment", AILMENTS)
def test_a_redis_that_answers_and_cannot_do_its_work_is_down(
    run_real: Driver, redis_server: RedisServer, ailment: str
) -> None:
    fall_ill, get_well = AILMENTS[ailment]

    async def body(runtime: Runtime) -> None:
        driver = patient(runtime, redis_server)
        probe = probe_of(driver)
        await probe.check()
        with redis_server.client() as client:
            client.execute_command(*fall_ill)
            try:
                assert client.ping()
                with pytest.raises(DependencyUnavailable):
                    await probe.check()
            finally:
                client.execute_command(*get_well)
        async with runtime.deadline(WAIT_S_MAX):
            while not await passes(probe):
                await runtime.sleep(0.05)
        await driver.close()

    run_real(body)


async def passes(probe: RedisProbe) -> bool:
    try:
        await probe.check()
    except DependencyUnavailable:
        return False
    return True


def test_a_probe_of_a_cluster_works_in_the_slots_of_every_node(
    run_real: Driver, redis_cluster: RedisCluster
) -> None:
    async def body(runtime: Runtime) -> None:
        async with connected(runtime, redis_cluster) as driver:
            probe = probe_of(driver)
            await probe.check()
            for node in redis_cluster.nodes:
                node.ask("CONFIG", "SET", "min-replicas-to-write", 1)
                try:
                    with pytest.raises(DependencyUnavailable, match="NOREPLICAS"):
                        await probe.check()
                finally:
                    node.ask("CONFIG", "SET", "min-replicas-to-write", 0)
                await probe.check()

    run_real(body)


REPLIES_OF_A_WRONG_SERVER = (
    b"-READONLY You can't write against a read only replica.",
    b"-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
    b"-NOREPLICAS Not enough good replicas to write.",
    b"-UNBLOCKED force unblock from blocking operation, instance state changed",
    b"-LOADING Redis is loading the dataset in memory",
    b"-NOAUTH Authentication required.",
    b"-MOVED 3999 127.0.0.1:6381",
)


@pytest.mark.parametrize("reply", REPLIES_OF_A_WRONG_SERVER)
def test_a_reply_of_a_wrong_server_ends_the_connections_of_all_drivers_of_the_address(
    run_real: Driver, reply: bytes
) -> None:
    def serve(_number: int, connection: socket.socket) -> None:
        while asked := connection.recv(4_096):
            connection.sendall((reply if b"SET" in asked else b"+PONG") + b"\r\n")

    async def body(runtime: Runtime, url: str) -> None:
        generation = Generation(runtime)
        one, other = (
            connect(runtime, url=url, decision_timeout_ms_max=PATIENT_MS_MAX, generation=generation)
            for _ in range(2)
        )
        for driver in (one, other):
            assert await driver.execute("PING") == b"PONG"
        with pytest.raises(DependencyUnavailable):
            accepted(await one.execute("SET", "key", "value"))
        for driver in (one, other):
            assert await driver.execute("PING") == b"PONG"
            assert driver.connections == 2
        # A wrong server that stays is not asked over a new connection for each command.
        for _ in range(5):
            with pytest.raises(DependencyUnavailable):
                accepted(await other.execute("SET", "key", "value"))
        assert one.connections <= 3
        for driver in (one, other):
            await driver.close()

    with scripted_server(serve) as url:
        run_real(lambda runtime: body(runtime, url))


def test_a_connection_that_was_open_before_the_wrong_reply_is_used_by_nobody_again(
    run_real: Driver,
) -> None:
    wrong_connections = 2  # as many as there are before the address leads to another server

    def serve(number: int, connection: socket.socket) -> None:
        while asked := connection.recv(4_096):
            is_refused = number <= wrong_connections and b"SET" in asked
            connection.sendall(b"-READONLY demoted\r\n" if is_refused else b"+OK\r\n")

    async def body(runtime: Runtime, url: str) -> None:
        generation = Generation(runtime)
        one, other = (
            connect(runtime, url=url, decision_timeout_ms_max=PATIENT_MS_MAX, generation=generation)
            for _ in range(2)
        )
        for driver in (one, other):
            await driver.execute("PING")
        with pytest.raises(DependencyUnavailable):
            accepted(await one.execute("SET", "key", "value"))
        # A probe opens what is not open. It must not take what is open for new.
        await other.reach()
        accepted(await other.execute("SET", "key", "value"))
        assert other.connections == 2
        for driver in (one, other):
            await driver.close()

    with scripted_server(serve) as url:
        run_real(lambda runtime: body(runtime, url))


@pytest.mark.parametrize(
    "reply", [b"-ERR syntax error", b"-OOM command not allowed", b"-NOPERM no permissions"]
)
def test_a_refusal_of_a_command_ends_no_connection(run_real: Driver, reply: bytes) -> None:
    def serve(_number: int, connection: socket.socket) -> None:
        while connection.recv(4_096):
            connection.sendall(reply + b"\r\n")

    async def body(runtime: Runtime, url: str) -> None:
        driver = connect(runtime, url=url, decision_timeout_ms_max=PATIENT_MS_MAX)
        for _ in range(3):
            assert isinstance(await driver.execute("SET", "key", "value"), ErrorReply)
        assert driver.connections == 1
        await driver.close()

    with scripted_server(serve) as url:
        run_real(lambda runtime: body(runtime, url))


class StuckTransport:
    """Answers nothing until the test lets it."""

    def __init__(self, released: Event) -> None:
        self._released = released

    @property
    def connections(self) -> int:
        return 1

    async def connect(self) -> None:
        return

    async def exchange(self, packed: Sequence[bytes]) -> Sequence[Reply]:
        await self._released.wait()
        return [b"OK"] * len(packed)

    async def drop(self) -> None:
        return

    async def close(self) -> None:
        return


class StuckConnector:
    def __init__(self, released: Event) -> None:
        self._released = released

    def transport(self, *, timeout_ms_max: int) -> StuckTransport:
        assert timeout_ms_max > 0
        return StuckTransport(self._released)

    def listener(self) -> RedisListener:
        raise AssertionError("nobody listens here")


def test_more_commands_than_may_wait_are_refused_at_once(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        released = runtime.event()
        driver = SingleServer(
            runtime=runtime,
            connector=StuckConnector(released),
            pipeline_commands_max=2,
            waiting_commands_max=4,
        )
        under_way = runtime.start(lambda: driver.execute_many([("GET", "a"), ("GET", "b")]), name="first")
        async with runtime.deadline(WAIT_S_MAX):
            while not driver.pipelines:
                await runtime.sleep(0.001)
        waiting = runtime.start(lambda: driver.execute_many([("GET", "c")] * 4), name="second")
        await runtime.sleep(0.001)
        with pytest.raises(DependencyUnavailable, match="too many"):
            await driver.execute("GET", "d")
        with pytest.raises(DependencyUnavailable, match="too many"):
            await driver.execute_many([("GET", "d")])
        released.set()
        assert list(await under_way.wait()) == [b"OK"] * 2
        assert list(await waiting.wait()) == [b"OK"] * 4

    run(body)


def test_commands_are_packed_as_arrays_of_bulk_strings() -> None:
    packed = pack(("SET", b"k\xff", 12)) + pack(("ECHO", "ü"))
    assert packed == b"*3\r\n$3\r\nSET\r\n$2\r\nk\xff\r\n$2\r\n12\r\n*2\r\n$4\r\nECHO\r\n$2\r\n\xc3\xbc\r\n"


def test_closing_waits_for_the_pipeline_under_way_though_its_callers_are_gone(run_real: Driver) -> None:
    asked, may_answer = threading.Event(), threading.Event()

    def serve(_number: int, connection: socket.socket) -> None:
        while connection.recv(4_096):
            asked.set()
            may_answer.wait(WAIT_S_MAX)
            connection.sendall(b"+PONG\r\n")

    async def body(runtime: Runtime, url: str) -> None:
        driver = connect(runtime, url=url, decision_timeout_ms_max=PATIENT_MS_MAX)
        caller = runtime.start(partial(driver.execute, "PING"), name="a caller that goes")
        await runtime.run_in_thread(partial(asked.wait, WAIT_S_MAX))
        caller.cancel()
        with pytest.raises(TaskCancelled):
            await caller.wait()
        closing = runtime.start(driver.close, name="close")
        await runtime.sleep(0)
        may_answer.set()
        # What fails unheard, such as a pipeline whose connection was closed, is a failure of this test.
        await closing.wait()

    with scripted_server(serve) as url:
        run_real(lambda runtime: body(runtime, url))
