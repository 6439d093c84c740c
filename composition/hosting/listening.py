"""The socket on which the service listens."""

from __future__ import annotations

import socket
from dataclasses import dataclass

BACKLOG_MAX = 1024
KEEP_ALIVE = {"TCP_KEEPIDLE": 30, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 60_000}
"""A silent peer is probed after 30 s, three times every 10 s. Sent data waits 60 s to be acknowledged."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a TCP port; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """The address of `127.0.0.1:5000`, `[::1]:5000` or `localhost:5000`. Raises `ValueError`."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text!r}: an IPv6 address stands in brackets, as in [::1]:5000")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65_535:
        raise ValueError(f"{text!r} is not of the form 127.0.0.1:5000")
    return Address(host, int(port))


def bound_socket(address: Address, *, shared: bool) -> socket.socket:
    """A socket that is bound and does not listen yet, so that no client connects too early. Raises `OSError`.

    `shared` lets other processes bind the same port; the kernel distributes connections among those that
    listen (SO_REUSEPORT of Linux).
    """
    family, kind, protocol, _, where = socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    bound = socket.socket(family, kind, protocol)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _detect_dead_peers(bound)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(where)
        bound.setblocking(False)
    except OSError:
        bound.close()
        raise
    return bound


def _detect_dead_peers(bound: socket.socket) -> None:
    """Accepted connections inherit these (tcp(7)). No ASGI server gives up a send to an absent peer."""
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEP_ALIVE.items():
        # Some systems lack some options.
        if hasattr(socket, name):
            bound.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def address_of(bound: socket.socket) -> Address:
    """The address of a socket, with the port that the system chose."""
    host, port = bound.getsockname()[:2]
    return Address(host, port)
