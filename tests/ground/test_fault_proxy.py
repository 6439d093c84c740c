from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Queue

import pytest

from tests.servers.fault_proxy import Cut, FaultProxy

WAIT_S_MAX = 10.0
SILENCE_S = 0.2
"""Nothing came in so long a time: only a test of silence waits for it."""
LARGE = b"x" * 9_999 + b"\n"
SMALL = b"hello\n"


@dataclass
class LineServer:
    """Keeps each whole line that it is sent, and answers it."""

    port: int
    heard: Queue[bytes] = field(default_factory=Queue)


@pytest.fixture
def line_server() -> Iterator[LineServer]:
    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with suppress(ConnectionError):  # a test cuts it
                for line in self.rfile:
                    if line.endswith(b"\n"):
                        kept.heard.put(line)
                        with suppress(ConnectionError):
                            self.wfile.write(b"heard\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        kept = LineServer(server.server_address[1])
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield kept
        server.shutdown()


@pytest.fixture
def proxy(line_server: LineServer) -> Iterator[FaultProxy]:
    with FaultProxy(line_server.port).running() as proxy:
        yield proxy


def connected(proxy: FaultProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=WAIT_S_MAX)


def ask(client: socket.socket, line: bytes) -> bytes:
    """The answer, or nothing when the connection ended instead."""
    try:
        client.sendall(line)
        return client.recv(100)
    except ConnectionError:
        return b""


def test_what_is_sent_arrives_and_is_answered(proxy: FaultProxy, line_server: LineServer) -> None:
    with connected(proxy) as client:
        assert ask(client, LARGE) == b"heard\n"
    assert line_server.heard.get(timeout=WAIT_S_MAX) == LARGE


def test_a_refused_client_has_no_connection_until_it_heals(proxy: FaultProxy) -> None:
    with connected(proxy) as client:
        assert ask(client, SMALL) == b"heard\n"
        proxy.refuse()
        assert ask(client, SMALL) == b""
    with pytest.raises(ConnectionRefusedError):
        connected(proxy)
    proxy.heal()
    with connected(proxy) as client:
        assert ask(client, SMALL) == b"heard\n"


def test_what_was_frozen_arrives_when_it_heals_though_its_sender_is_gone(
    proxy: FaultProxy, line_server: LineServer
) -> None:
    with connected(proxy) as client:
        assert ask(client, b"before\n") == b"heard\n"
        proxy.freeze()
        client.sendall(SMALL)
        client.settimeout(SILENCE_S)
        with pytest.raises(TimeoutError):
            client.recv(100)
    assert line_server.heard.get(timeout=WAIT_S_MAX) == b"before\n"
    assert line_server.heard.empty()
    proxy.heal()
    assert line_server.heard.get(timeout=WAIT_S_MAX) == SMALL


def test_a_delayed_request_is_answered_later(proxy: FaultProxy) -> None:
    proxy.delay(2 * SILENCE_S)
    with connected(proxy) as client:
        client.settimeout(SILENCE_S)
        client.sendall(SMALL)
        with pytest.raises(TimeoutError):
            client.recv(100)
        client.settimeout(WAIT_S_MAX)
        assert client.recv(100) == b"heard\n"


def test_a_large_request_that_is_cut_never_arrives(proxy: FaultProxy, line_server: LineServer) -> None:
    proxy.cut(Cut.REQUEST, large_bytes=len(LARGE))
    with connected(proxy) as client:
        assert ask(client, SMALL) == b"heard\n"
        assert ask(client, LARGE) == b""
    with connected(proxy) as client:
        assert ask(client, b"after\n") == b"heard\n"
    assert [line_server.heard.get(timeout=WAIT_S_MAX) for _ in range(2)] == [SMALL, b"after\n"]
    assert proxy.cuts == 1


def test_a_large_request_whose_answer_is_cut_has_arrived(proxy: FaultProxy, line_server: LineServer) -> None:
    proxy.cut(Cut.ANSWER, large_bytes=len(LARGE))
    with connected(proxy) as client:
        assert ask(client, SMALL) == b"heard\n"
        assert ask(client, LARGE) == b""
    assert [line_server.heard.get(timeout=WAIT_S_MAX) for _ in range(2)] == [SMALL, LARGE]
    assert proxy.cuts == 1


def test_no_connection_comes_when_the_server_is_away() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with FaultProxy(unused.getsockname()[1]).running() as proxy, connected(proxy) as client:
            assert ask(client, SMALL) == b""
