"""Real clients against Hypercorn on every event loop."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin, Subprotocol

from adapters.socket.connection import SocketLimits
from domain.realtime.events import CloseCode
from domain.realtime.frames import FRAME_BYTES_MAX
from domain.realtime.messages import BalancePush, DirectPush
from domain.realtime.outbox import OutboxLimits
from domain.realtime.protocol import SUBPROTOCOL, ProtocolLimits
from tests.adapters.socket.serving import LOOPS, Server, serving

PATIENCE_S = 15.0
LIMITS = SocketLimits(protocol=ProtocolLimits(connect_timeout_ms_max=500), send_timeout_s_max=8.0)
BALANCE = BalancePush("acc", posted=750, held=0, available=750, seq=2)


@pytest.fixture(params=LOOPS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with serving(request.param, limits=LIMITS, origins=("https://app.example",)) as running:
        yield running


@contextmanager
def dialled(server: Server, **options: Any) -> Iterator[ClientConnection]:
    options.setdefault("subprotocols", [Subprotocol(SUBPROTOCOL)])
    with connect(server.url, open_timeout=PATIENCE_S, close_timeout=PATIENCE_S, **options) as client:
        yield client


@contextmanager
def logged_in(server: Server, token: str = "alice/ses_a", **options: Any) -> Iterator[ClientConnection]:
    with dialled(server, **options) as client:
        say(client, id=1, type="connect", token=token)
        assert hear(client)["type"] == "connected"
        yield client


def say(client: ClientConnection, **command: Any) -> None:
    client.send(json.dumps(command))


def hear(client: ClientConnection) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(client.recv(timeout=PATIENCE_S))
    return frame


def closed_with(client: ClientConnection) -> int:
    """The code of the close that comes next, after whatever was sent before it."""
    with pytest.raises(ConnectionClosed) as closed:
        drain(client)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


def drain(client: ClientConnection) -> None:
    for _ in range(100_000):
        client.recv(timeout=PATIENCE_S)


def until(holds: Callable[[], bool]) -> None:
    """The server is in another thread, so its state can only be looked at again."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_client_connects_pings_and_gets_its_balance(server: Server) -> None:
    with dialled(server) as client:
        assert client.subprotocol == SUBPROTOCOL
        say(client, id=1, type="connect", token="alice/ses_a")
        welcome = hear(client)
        assert (welcome["id"], welcome["user"], welcome["session"]) == (1, "alice", "ses_a")
        say(client, id=2, type="ping")
        assert hear(client) == {"id": 2, "type": "ok"}
        server.do(lambda: server.service.realtime.publish_to_user("alice", BALANCE))
        assert hear(client) == json.loads(BALANCE.encode())
        assert server.service.open == 1
    until(lambda: server.service.open == 0 and not server.service.realtime._audiences)


def test_a_client_that_offers_no_subprotocol_is_closed_4400_at_once(server: Server) -> None:
    with dialled(server, subprotocols=None) as client:
        assert client.subprotocol is None
        assert closed_with(client) == CloseCode.PROTOCOL_ERROR
        assert client.close_reason == "offer the subprotocol credit-system.v1"
    until(lambda: server.service.open == 0)


@pytest.mark.parametrize(
    ("status", "options"),
    [
        (403, {"origin": Origin("https://evil.example")}),
        (400, {"subprotocols": [Subprotocol("graphql-ws")]}),
    ],
)
def test_a_foreign_origin_gets_403_and_a_foreign_subprotocol_400_before_the_upgrade(
    server: Server, status: int, options: dict[str, Any]
) -> None:
    with pytest.raises(InvalidStatus) as refused, dialled(server, **options):
        pass
    assert refused.value.response.status_code == status
    assert json.loads(refused.value.response.body or b"")["status"] == status
    until(lambda: server.service.open == 0)


def test_a_listed_origin_is_served(server: Server) -> None:
    with logged_in(server, origin=Origin("https://app.example")):
        assert server.service.open == 1


def test_a_silent_client_is_closed_4408(server: Server) -> None:
    with dialled(server) as client:
        assert closed_with(client) == CloseCode.TOO_LATE


@pytest.mark.parametrize(
    ("frame", "code"),
    [
        ("nonsense", CloseCode.PROTOCOL_ERROR),
        (b"binary", CloseCode.PROTOCOL_ERROR),
        (b"", CloseCode.PROTOCOL_ERROR),
        ('{"id":1,"type":"connect","token":"bad"}', CloseCode.NOT_AUTHENTICATED),
        ("x" * (FRAME_BYTES_MAX + 1), CloseCode.TOO_BIG),
        ("é" * (FRAME_BYTES_MAX // 2 + 1), CloseCode.TOO_BIG),
    ],
    ids=["nonsense", "binary", "empty", "bad token", "too big", "too big in bytes"],
)
def test_a_bad_first_frame_is_closed_with_its_code(
    server: Server, frame: str | bytes, code: CloseCode
) -> None:
    with dialled(server) as client:
        client.send(frame)
        assert closed_with(client) == code


def test_an_identity_that_runs_out_is_closed_4401(server: Server) -> None:
    with logged_in(server, "alice/ses_a/400") as client:
        assert closed_with(client) == CloseCode.NOT_AUTHENTICATED


def test_an_ended_session_is_closed_4401(server: Server) -> None:
    with logged_in(server) as client:
        server.do(lambda: server.service.realtime.close_session("ses_a"))
        assert closed_with(client) == CloseCode.NOT_AUTHENTICATED


def test_a_client_that_vanishes_is_forgotten(server: Server) -> None:
    with logged_in(server) as client:
        client.socket.shutdown(socket.SHUT_RDWR)
        until(lambda: server.service.open == 0)
        assert server.service.bus.live("user:alice") == 0


def test_a_shutdown_closes_everyone_1012(server: Server) -> None:
    with logged_in(server) as first, logged_in(server, "bob/ses_b") as second, dialled(server) as third:
        server.stop()
        codes = [closed_with(client) for client in (first, second, third)]
    assert codes == [CloseCode.RESTARTING] * 3


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_that_does_not_read_gets_4413_and_harms_nobody(loop: str) -> None:
    limits = SocketLimits(outbox=OutboxLimits(messages_max=16))
    push = DirectPush("blob", "x" * 60_000)
    with (
        serving(loop, limits=limits) as server,
        # Without a window of its own the client's socket would take megabytes before anybody notices.
        raw_socket(server) as sock,
        logged_in(server, sock=sock, max_queue=1, compression=None) as slow,
        logged_in(server) as quick,
    ):
        for _ in range(2_000):
            server.do(lambda: server.service.realtime.publish_to_user("alice", push))
            assert hear(quick)["type"] == "direct"
            if server.service.dropped("too_slow"):
                break
        assert server.service.dropped("too_slow") == 1
        assert closed_with(slow) == CloseCode.TOO_SLOW
        say(quick, id=2, type="ping")
        assert hear(quick)["type"] == "ok"


@contextmanager
def raw_socket(server: Server) -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8_192)
        sock.connect(("127.0.0.1", server.port))
        yield sock


@pytest.mark.parametrize("loop", LOOPS)
def test_a_client_that_never_reads_again_does_not_outlive_a_shutdown(loop: str) -> None:
    limits = SocketLimits(send_timeout_s_max=1.0, close_timeout_s_max=1.0, shutdown_timeout_s_max=1.0)
    push = DirectPush("blob", "x" * 60_000)
    with (
        serving(loop, limits=limits) as server,
        raw_socket(server) as sock,
        logged_in(server, sock=sock, max_queue=1, compression=None) as slow,
    ):
        for _ in range(2_000):
            server.do(lambda: server.service.realtime.publish_to_user("alice", push))
            if server.service.dropped("too_slow"):
                break
        until(lambda: server.service.dropped("too_slow") == 1)
        server.stop()
        until(lambda: server.service.open == 0)
        slow.socket.close()
