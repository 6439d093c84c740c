"""Whatever a connection's task raises, the others go on."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import hypercorn.asyncio.tcp_server
import hypercorn.trio.tcp_server
import pytest
import trio
import uvloop
from hypercorn.events import Event, RawData
from hypercorn.protocol import ProtocolWrapper

from composition.hosting import hypercorn_server
from composition.hosting.hypercorn_server import hypercorn_config, hypercorn_on_asyncio, hypercorn_on_trio

ANSWER_S_MAX = 10.0
POLL_S = 0.01
HEALTHY = b"GET /healthy HTTP/1.1\r\nHost: x\r\n\r\n"

RUNTIMES: dict[str, Callable[[Any, Any, threading.Event], None]] = {
    "asyncio": lambda app, config, ended: asyncio.run(_on_asyncio(app, config, ended)),
    "uvloop": lambda app, config, ended: uvloop.run(_on_asyncio(app, config, ended)),
    "trio": lambda app, config, ended: trio.run(_on_trio, app, config, ended),
}


async def _on_asyncio(app: Any, config: Any, ended: threading.Event) -> None:
    await hypercorn_on_asyncio(app, config, lambda: _polled(ended, asyncio.sleep))


async def _on_trio(app: Any, config: Any, ended: threading.Event) -> None:
    await hypercorn_on_trio(app, config, lambda: _polled(ended, trio.sleep))


async def _polled(ended: threading.Event, sleep: Callable[[float], Awaitable[None]]) -> None:
    while not ended.is_set():
        await sleep(POLL_S)


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    match scope["path"]:
        case "/before":
            raise ZeroDivisionError("before an answer")
        case "/group":
            raise BaseExceptionGroup("several", [ZeroDivisionError("one"), ValueError("another")])
        case "/started":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            raise ZeroDivisionError("in the middle of an answer")
        case "/out-of-order":
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        case "/twice":
            for _ in range(2):
                await _answer(send)
        case "/header":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"a b", b"c")]})
            await send({"type": "http.response.body", "body": b""})
        case "/stuck":
            try:
                while True:
                    await receive()
                    await _pause()
            finally:
                left.set()
        case "/late":
            while (await receive())["type"] != "http.disconnect":
                pass
            await _answer(send)
        case _:
            await _answer(send)


left = threading.Event()
"""What is asked at `/stuck` has ended."""


async def _pause() -> None:
    """For ever, on either kind of event loop."""
    try:
        await trio.sleep_forever()
    except RuntimeError:
        await asyncio.Event().wait()


async def _answer(send: Any) -> None:
    headers = [(b"content-length", b"4")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"good"})


class Failing(ProtocolWrapper):
    """Raises where the word in the request says: as its protocol classes do for input they did not expect."""

    async def handle(self, event: Event) -> None:
        data = event.data if isinstance(event, RawData) else b""
        if b"/raise-at-once" in data:
            raise AttributeError("at once")
        if b"/raise-a-group" in data:
            raise BaseExceptionGroup("several", [AttributeError("one"), KeyError("another")])
        await super().handle(event)
        if b"/raise-in-a-task" in data:
            self.task_group.spawn(self._raise)
        if b"/raise-afterwards" in data:
            raise RecursionError("afterwards")

    async def _raise(self) -> None:
        raise AttributeError("in a task")


@contextmanager
def serving(runtime: str) -> Iterator[tuple[str, int]]:
    """Ends by an orderly stop, or fails with what ended the server."""
    ended, failures = threading.Event(), list[BaseException]()
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        bound.listen()
        config = hypercorn_config(bound, None, grace_s=0.5)

        def run() -> None:
            try:
                RUNTIMES[runtime](application, config, ended)
            except BaseException as error:  # noqa: BLE001 - shown in the test's own thread
                failures.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield bound.getsockname()
        finally:
            ended.set()
            thread.join(ANSWER_S_MAX)
    assert not failures
    assert not thread.is_alive()


def ask(address: tuple[str, int], request: bytes) -> bytes:
    """All that is answered on a connection of its own, until the server closes it or says nothing more."""
    with socket.create_connection(address, timeout=ANSWER_S_MAX) as client:
        client.sendall(request)
        return answer_on(client)


def answer_on(client: socket.socket) -> bytes:
    received = b""
    try:
        while not received.endswith(b"good") and (data := client.recv(4096)):
            received += data
    except ConnectionError:
        pass
    return received


@pytest.fixture(params=list(RUNTIMES))
def runtime(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    for module in (hypercorn.asyncio.tcp_server, hypercorn.trio.tcp_server):
        monkeypatch.setattr(module, "ProtocolWrapper", Failing)
    chosen: str = request.param
    return chosen


@pytest.mark.parametrize("where", ["at-once", "a-group", "in-a-task", "afterwards"])
def test_a_failure_of_the_protocol_ends_its_connection_only(
    where: str, runtime: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serving(runtime) as address, socket.create_connection(address, timeout=ANSWER_S_MAX) as other:
        other.sendall(HEALTHY)
        assert answer_on(other).endswith(b"good")
        request = f"GET /raise-{where} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
        with socket.create_connection(address, timeout=ANSWER_S_MAX) as client:
            client.sendall(request)
            while client.recv(4096):
                pass
        other.sendall(HEALTHY)
        assert answer_on(other).endswith(b"good")
        assert ask(address, HEALTHY).endswith(b"good")
    failed = [record for record in caplog.records if record.name == "credit.connections"]
    assert [record.getMessage() for record in failed] == ["a connection failed and is closed"]
    assert failed[0].exc_info is not None
    assert not [record for record in caplog.records if record.name == "asyncio"]


@pytest.mark.parametrize(
    "path", ["/before", "/group", "/started", "/out-of-order", "/twice", "/header", "/late"]
)
def test_a_failure_of_the_application_ends_its_connection_only(
    path: str, runtime: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, logger="hypercorn.error")
    with serving(runtime) as address, socket.create_connection(address, timeout=ANSWER_S_MAX) as other:
        with socket.create_connection(address, timeout=ANSWER_S_MAX) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            if path != "/late":
                client.recv(4096)
        other.sendall(HEALTHY)
        assert answer_on(other).endswith(b"good")
        assert ask(address, HEALTHY).endswith(b"good")
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_what_a_client_asked_that_has_gone_ends_in_time(
    runtime: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hypercorn_server, "LEAVING_S_MAX", 0.2)
    left.clear()
    with serving(runtime) as address:
        with socket.create_connection(address, timeout=ANSWER_S_MAX) as client:
            client.sendall(b"GET /stuck HTTP/1.1\r\nHost: x\r\n\r\n")
        assert left.wait(ANSWER_S_MAX)
        assert ask(address, HEALTHY).endswith(b"good")
    assert not caplog.records
