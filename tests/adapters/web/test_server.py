"""The same application under Hypercorn, with clients of flesh and sockets."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from http.client import HTTPConnection
from typing import Any

import hypercorn.asyncio
import hypercorn.trio
import pytest
from hypercorn.config import Config

from credit_system import Answer, Call, Route
from domain.identity.access import PUBLIC
from ports.runtime import Runtime
from tests.adapters.web.probe_routes import ROUTES
from tests.adapters.web.service import Options, open_service
from tests.conformance.runtimes import Driver

CLIENT_S_MAX = 10.0


async def serving(runtime: Runtime, options: Options, use: Callable[[int], Awaitable[None]]) -> None:
    """Serves on a free port while `use` runs."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    # From here on clients wait in the backlog until the server has started.
    listener.listen()
    port = listener.getsockname()[1]
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.errorlog = None
    stop = runtime.event()
    serve: Any = hypercorn.trio.serve if runtime.name == "trio" else hypercorn.asyncio.serve
    guard = open_service(runtime, options).guard
    server = runtime.start(lambda: serve(guard, config, shutdown_trigger=stop.wait), name="server")
    try:
        await use(port)
    finally:
        stop.set()
        await server.wait()


def exchange(port: int, data: bytes) -> bytes:
    """Sends all and reads until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=CLIENT_S_MAX) as client:
        client.sendall(data)
        received = b""
        while more := client.recv(65536):
            received += more
    return received


def test_a_client_that_leaves_cancels_no_handler(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        begun, left, ended = runtime.event(), runtime.event(), runtime.event()

        async def slow(_call: Call[None, None]) -> Answer:
            begun.set()
            await left.wait()
            await runtime.sleep(0.01)
            ended.set()
            return Answer(204)

        def ask_and_leave(port: int) -> socket.socket:
            client = socket.create_connection(("127.0.0.1", port), timeout=CLIENT_S_MAX)
            client.sendall(b"POST /slow HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
            return client

        async def use(port: int) -> None:
            client = await runtime.run_in_thread(ask_and_leave, port)
            await begun.wait()
            client.close()
            # Another request is served after the server saw the first client go.
            await runtime.run_in_thread(exchange, port, b"GET / HTTP/1.0\r\n\r\n")
            left.set()
            async with runtime.deadline(CLIENT_S_MAX):
                await ended.wait()

        await serving(runtime, Options(routes=[Route("POST", "/slow", "slow", PUBLIC, slow)]), use)

    run_real(body)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_answered_and_not_just_cut(run_real: Driver, chunked: bool) -> None:
    async def body(runtime: Runtime) -> None:
        payload = b'{"note":"' + b"x" * 3_000_000 + b'"}'

        def post(port: int) -> tuple[int, bytes]:
            client = HTTPConnection("127.0.0.1", port, timeout=CLIENT_S_MAX)
            pieces = (payload[start : start + 50_000] for start in range(0, len(payload), 50_000))
            headers = {"Content-Type": "application/json"}
            client.request("POST", "/orders", pieces if chunked else payload, headers, encode_chunked=chunked)
            answer = client.getresponse()
            try:
                return answer.status, answer.read()
            finally:
                client.close()

        async def use(port: int) -> None:
            status, answer = await runtime.run_in_thread(post, port)
            assert status == 413
            assert b'"code":"body_too_large"' in answer

        await serving(runtime, Options(routes=ROUTES), use)

    run_real(body)


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET / HTTP/1.0", b"200"),
        (b"HEAD / HTTP/1.0", b"200"),
        (b"GET http://elsewhere.example/users/me HTTP/1.0", b"401"),
        (b"GET //users/me HTTP/1.0", b"401"),
        (b"GET /%2Fusers/me HTTP/1.0", b"401"),
        (b"GET /nowhere%00%FF HTTP/1.0", b"404"),
        (b"DELETE / HTTP/1.0", b"405"),
    ],
)
def test_whatever_the_request_line_the_answer_is_whole(
    run_real: Driver, request_line: bytes, status: bytes
) -> None:
    async def body(runtime: Runtime) -> None:
        async def use(port: int) -> None:
            answer = await runtime.run_in_thread(exchange, port, request_line + b"\r\nHost: a\r\n\r\n")
            head, _, content = answer.partition(b"\r\n\r\n")
            assert head.split()[1] == status
            assert b"x-request-id:" in head.lower()
            assert (content == b"") is request_line.startswith(b"HEAD")

        await serving(runtime, Options(routes=ROUTES), use)

    run_real(body)
