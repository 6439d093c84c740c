"""redis-py's synchronous connections in worker threads, for trio."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from redis.connection import Connection, parse_url
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from adapters.redis.driver.connection_options import connection_options
from adapters.redis.driver.errors import Peer, peer_of, refusal
from adapters.redis.driver.interface import Connector, NotOpen, RedisListener, Transport
from adapters.redis.driver.resp import Command, Reply, pack
from ports.runtime import Runtime


class _Connection(Protocol):
    """The part of redis-py's connections that is used; they are typed in part only."""

    @property
    def is_connected(self) -> bool: ...

    def connect(self) -> None: ...

    def can_read(self, timeout: float) -> bool: ...

    def send_packed_command(self, command: list[bytes], check_health: bool) -> None: ...

    def read_response(self, disable_decoding: bool, *, timeout: float) -> Reply: ...

    def update_current_socket_timeout(self, relaxed_timeout: float) -> None: ...

    def disconnect(self) -> None: ...


LISTEN_S_MAX = 0.05
"""How long a listening thread stays away at most: it bounds closing and sending, too."""


class ThreadedConnector:
    """Connects to one address. The time bounds are the socket's, so a thread always comes back."""

    def __init__(
        self, *, runtime: Runtime, url: str, password: str | None, connect_timeout_ms_max: int
    ) -> None:
        parsed: dict[str, Any] = dict(parse_url(url))  # type: ignore[no-untyped-call]  # redis-py left it untyped
        self._class: Callable[..., _Connection] = parsed.get("connection_class", Connection)
        self._peer = peer_of(parsed)
        self._options = connection_options(parsed, password)
        # TLS and authentication are read under `socket_timeout`, so while connecting it is the longer one.
        timeout_s = connect_timeout_ms_max / 1_000
        self._options.update(socket_timeout=timeout_s, socket_connect_timeout=timeout_s)
        self._runtime = runtime

    def transport(self, *, timeout_ms_max: int) -> ThreadedTransport:
        return ThreadedTransport(
            self._runtime, self._class(**self._options), self._peer, timeout_ms_max / 1_000
        )

    def listener(self) -> ThreadedListener:
        return ThreadedListener(self._runtime, self._class(**self._options), self._peer)


class ThreadedTransport:
    """One pipelined connection; each exchange is one visit to a thread."""

    def __init__(self, runtime: Runtime, connection: _Connection, peer: Peer, timeout_s: float) -> None:
        self._runtime = runtime
        self._connection = connection
        self._peer = peer
        self._timeout_s = timeout_s
        self._connections = 0

    @property
    def connections(self) -> int:
        return self._connections

    async def connect(self) -> None:
        await self._runtime.run_in_thread(self._connect)

    async def exchange(self, packed: Sequence[bytes]) -> Sequence[Reply]:
        return await self._runtime.run_in_thread(self._exchange, packed)

    async def drop(self) -> None:
        self._connection.disconnect()

    async def close(self) -> None:
        self._connection.disconnect()

    def _exchange(self, packed: Sequence[bytes]) -> Sequence[Reply]:
        connection = self._connection
        try:
            self._check_open()
            ends_s = time.monotonic() + self._timeout_s
            connection.send_packed_command([b"".join(packed)], check_health=False)
            return [_read(connection, ends_s) for _ in packed]
        except (RedisError, OSError) as error:
            connection.disconnect()
            raise self._peer.unavailable(error) from error
        except BaseException:
            connection.disconnect()
            raise

    def _check_open(self) -> None:
        connection = self._connection
        if connection.is_connected:
            try:
                # Nothing can be waiting before we asked but the server's farewell.
                if not connection.can_read(timeout=0):
                    return
            except (RedisError, OSError):
                pass
            connection.disconnect()
        raise NotOpen

    def _connect(self) -> None:
        connection = self._connection
        if connection.is_connected:
            return
        try:
            connection.connect()
            connection.update_current_socket_timeout(self._timeout_s)
        except (RedisError, OSError) as error:
            connection.disconnect()
            raise self._peer.unavailable(error, opening=True) from error
        except BaseException:
            connection.disconnect()
            raise
        self._connections += 1


class ThreadedListener:
    """One subscribing connection.

    TLS connections may not be written and read by two threads at once, so a command waits for
    the reading thread to come by, which it does every `LISTEN_S_MAX`.
    """

    def __init__(self, runtime: Runtime, connection: _Connection, peer: Peer) -> None:
        self._runtime = runtime
        self._connection = connection
        self._peer = peer
        self._unsent: deque[Command] = deque()

    async def connect(self) -> None:
        await self._runtime.run_in_thread(self._connect)

    async def send(self, command: Command) -> None:
        self._unsent.append(command)

    async def receive(self) -> Reply:
        return await self._runtime.run_in_thread(self._receive)

    async def close(self) -> None:
        self._connection.disconnect()

    def _connect(self) -> None:
        try:
            self._connection.connect()
        except (RedisError, OSError) as error:
            self._connection.disconnect()
            raise self._peer.unavailable(error, opening=True) from error

    def _receive(self) -> Reply:
        connection = self._connection
        try:
            while self._unsent:
                connection.send_packed_command([pack(self._unsent.popleft())], check_health=False)
            if not connection.is_connected:
                raise RedisTimeoutError("the listener is closed")
            if not connection.can_read(timeout=LISTEN_S_MAX):
                return None
            return _read(connection, time.monotonic() + LISTEN_S_MAX * 20)
        except (RedisError, OSError) as error:
            connection.disconnect()
            raise self._peer.unavailable(error) from error


def _read(connection: _Connection, ends_s: float) -> Reply:
    # A thread that came late may still take what has arrived meanwhile: that was in time.
    left_s = max(0.0, ends_s - time.monotonic())
    try:
        return connection.read_response(disable_decoding=True, timeout=left_s)
    except ResponseError as error:
        return refusal(error)


def _proof(
    connector: ThreadedConnector, transport: ThreadedTransport, listener: ThreadedListener
) -> tuple[Connector, Transport, RedisListener]:
    """mypy holds the adapter to its seam here."""
    return connector, transport, listener
