"""What the seam to Redis promises, on both of redis-py's clients."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pytest
import trio
from redis.connection import Connection, parse_url

from adapters.redis.connect import connect
from adapters.redis.connection import options
from adapters.redis.driver import Listener, Redis, RedisDriver, Refusal, Reply, pack
from adapters.redis.probe import RedisProbe
from adapters.redis.threaded import ThreadedTransport
from adapters.runtime.trio_runtime import TrioRuntime
from ports.errors import DependencyUnavailable
from ports.runtime import Event, Runtime
from tests.conformance.runtimes import Driver
from tests.servers.redis_server import RedisServer

PATIENT_MS_MAX = 5_000
WAIT_S_MAX = 10.0
BRIEF_MS = 100


def patient(runtime: Runtime, server: RedisServer) -> Redis:
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
            with connection:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    continue  # the other side has closed it already
        for thread in threads:
            thread.join(WAIT_S_MAX)


def test_replies_come_in_order_and_a_refused_command_harms_no_neighbour(
    run_real: Driver, redis_server: RedisServer
) -> None:
    async def body(runtime: Runtime) -> None:
        driver = patient(runtime, redis_server)
        replies = await driver.execute_many(
            [("SET", "k", "v"), ("INCR", "k"), ("GET", b"k"), ("STRLEN", "k"), ("GET", "none")]
        )
        assert replies[0] == b"OK"
        assert isinstance(replies[1], Refusal)
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
        return Late(**options(parsed, None))  # type: ignore[no-untyped-call]

    async def body(url: str) -> Sequence[Reply]:
        async with (runtime := TrioRuntime()).running():
            transport = ThreadedTransport(runtime, connection(url), BRIEF_MS / 1_000)
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
            assert str(redis_server.port) not in str(caught.value)
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


def test_the_probe_passes_while_redis_answers_and_fails_while_it_does_not(
    run_real: Driver, redis_server: RedisServer
) -> None:
    async def body(runtime: Runtime) -> None:
        driver = patient(runtime, redis_server)
        probe = RedisProbe(driver=driver)
        assert probe.name == "redis"
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

    def listener(self) -> Listener:
        raise AssertionError("nobody listens here")


def test_more_commands_than_may_wait_are_refused_at_once(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        released = runtime.event()
        driver = RedisDriver(
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
