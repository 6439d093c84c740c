"""Clients that break off, fall silent or speak nonsense, at every stage, on every server: the others go on.

Each row is replayed from its seed. All requests are well formed; what is broken is where they end.
"""

from __future__ import annotations

import socket
import ssl
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

import h2.config
import h2.connection
import httpx
import pytest
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from composition.hosting.servers import ServerName
from composition.wiring.platform import RuntimeName
from tests.composition.hosting.serving import Serving
from tests.servers.certificates import Certificates, write_certificates

CARRIERS = [
    *((ServerName.HYPERCORN.value, runtime.value) for runtime in RuntimeName),
    *((server.value, "uvloop") for server in (ServerName.UVICORN, ServerName.GRANIAN)),
]
CONNECTIONS = 120
ANSWER_S_MAX = 10.0
GLANCE_S = 0.02
"""How long an answer may take to come, where a client looks for one before it goes."""
SUBPROTOCOL = Subprotocol("credit-system.v1")

GET = b"GET /users/me HTTP/1.1\r\nHost: x\r\n\r\n"
LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
POST = (
    b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b'Content-Length: 36\r\n\r\n{"username":"nobody","password":"x"}'
)
CHUNKED = (
    b"POST /auth/login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
    b'24\r\n{"username":"nobody","password":"x"}\r\n0\r\n\r\n'
)
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    b"Sec-WebSocket-Protocol: credit-system.v1\r\n\r\n"
)
NONSENSE = b"nonsense\r\n\r\n"


def masked(payload: bytes, opcode: int = 1) -> bytes:
    """One WebSocket frame from a client (RFC 6455, 5.2); the mask of zeros changes nothing."""
    return bytes([0x80 | opcode, 0x80 | len(payload)]) + bytes(4) + payload


FRAMES = (masked(b'{"id":1,"type":"ping"}'), masked(b"not JSON"), masked(b"", 9), masked(b"\x03\xe8", 8))


class Client:
    """One connection that does not end as it should."""

    def __init__(self, random: Random, address: tuple[str, int], tls: ssl.SSLContext | None) -> None:
        self._random = random
        self._raw = socket.create_connection(address, timeout=ANSWER_S_MAX)
        self._tls = tls

    def play(self) -> None:
        acts: list[Callable[[], None]] = [self._request, self._request, self._pipeline, self._web_socket]
        if self._tls is not None:
            acts += [self._half_a_handshake, self._http2, self._http2]
        try:
            self._random.choice(acts)()
        except OSError:
            return  # The server was faster.
        finally:
            self._go()

    def _request(self) -> None:
        stream = self._stream()
        whole = self._random.choice((GET, LIVE, POST, CHUNKED, UPGRADE, NONSENSE))
        stream.sendall(self._cut(whole))
        self._glance(stream)

    def _pipeline(self) -> None:
        stream = self._stream()
        stream.sendall(self._cut(b"".join(self._random.choices((GET, LIVE, POST, CHUNKED), k=4))))
        self._glance(stream)

    def _web_socket(self) -> None:
        stream = self._stream()
        stream.sendall(UPGRADE)
        if self._random.random() < 0.8:
            stream.recv(4096)
            stream.sendall(self._cut(b"".join(self._random.choices(FRAMES, k=3))))
        self._glance(stream)

    def _half_a_handshake(self) -> None:
        assert self._tls is not None
        outgoing = ssl.MemoryBIO()
        try:
            self._tls.wrap_bio(ssl.MemoryBIO(), outgoing).do_handshake()
        except ssl.SSLWantReadError:
            # Without an answer it comes no further than its hello.
            self._raw.sendall(self._cut(self._random.choice((outgoing.read(), GET, NONSENSE))))
        self._glance(self._raw)

    def _http2(self) -> None:
        stream = self._stream("h2")
        session = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        session.initiate_connection()
        ended = self._random.random() < 0.5
        for number in (1, 3, 5):
            method = "GET" if ended else "POST"
            headers = [(":method", method), (":path", "/users/me"), (":scheme", "https"), (":authority", "x")]
            session.send_headers(number, headers, end_stream=ended)
        match self._random.randrange(4):
            case 0:
                session.reset_stream(3)
            case 1:
                session.close_connection()
            case 2:
                session.ping(bytes(8))
            case _:
                pass
        stream.sendall(self._cut(session.data_to_send()))
        self._glance(stream)

    def _stream(self, protocol: str = "http/1.1") -> socket.socket:
        if self._tls is None:
            return self._raw
        self._tls.set_alpn_protocols([protocol])
        self._raw = self._tls.wrap_socket(self._raw)
        return self._raw

    def _cut(self, whole: bytes) -> bytes:
        """All of it, or its beginning."""
        return whole[: self._random.choice((len(whole), self._random.randrange(len(whole) + 1)))]

    def _glance(self, stream: socket.socket) -> None:
        """Reads nothing, a byte, or what comes."""
        size = self._random.choice((0, 0, 1, 4096))
        if size:
            stream.settimeout(GLANCE_S)
            stream.recv(size)

    def _go(self) -> None:
        match self._random.randrange(3):
            case 0:  # with a reset
                self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            case 1:  # first with one direction
                with suppress(OSError):
                    socket.socket.shutdown(self._raw, socket.SHUT_WR)
            case _:
                pass
        self._raw.close()


@pytest.fixture(params=["plain", "tls"])
def certificates(request: pytest.FixtureRequest, tmp_path: Path) -> Certificates | None:
    return write_certificates(tmp_path) if request.param == "tls" else None


@pytest.mark.parametrize(("server", "runtime"), CARRIERS)
def test_whatever_a_client_breaks_off_ends_its_connection_only(
    server: str, runtime: str, certificates: Certificates | None
) -> None:
    arguments = ["demo", "--server", server, "--runtime", runtime]
    tls: ssl.SSLContext | None = None
    if certificates is not None:
        arguments += ["--tls-cert", str(certificates.certificate_file)]
        arguments += ["--tls-key", str(certificates.key_file)]
        tls = ssl.create_default_context(cafile=certificates.ca_file)
        tls.check_hostname = False
    # Nobody of this address may be turned away before the server has seen what it sends.
    settings = {"CREDIT_ALLOWLIST": "127.0.0.0/8", "CREDIT_SHUTDOWN_GRACE": "1s"}
    with Serving(*arguments, settings=settings) as demo:
        host, _, port = demo.url().rpartition("/")[2].rpartition(":")
        url = demo.url().replace("http", "ws", 1) + "/ws"
        with connect(url, subprotocols=[SUBPROTOCOL], ssl=tls) as other:
            for seed in range(CONNECTIONS):
                Client(Random(seed), (host, int(port)), tls).play()
                if seed % 20 == 0:
                    is_alive(other)
            is_alive(other)
            assert httpx.get(demo.url() + "/health/live", verify=tls or True).status_code == 200
        assert demo.stop() == 0


def is_alive(other: ClientConnection) -> None:
    """A connection that the others had nothing to do with."""
    assert other.ping().wait(ANSWER_S_MAX)
