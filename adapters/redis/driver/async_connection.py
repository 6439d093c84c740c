"""redis-py's asynchronous connections, for asyncio and uvloop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from redis.asyncio.connection import Connection, parse_url
from redis.exceptions import RedisError, ResponseError

from adapters.redis.driver.connection_options import connection_options
from adapters.redis.driver.errors import Peer, peer_of, refusal
from adapters.redis.driver.interface import Connector, NotOpen, RedisListener, Transport
from adapters.redis.driver.resp import Command, Reply, pack
from ports.runtime import DeadlineExceeded, Runtime


class _Connection(Protocol):
    """The part of redis-py's connections that is used; they are typed in part only."""

    @property
    def is_connected(self) -> bool: ...

    async def connect(self) -> None: ...

    async def can_read(self) -> bool: ...

    async def send_packed_command(self, command: list[bytes], check_health: bool) -> None: ...

    async def read_response(self, disable_decoding: bool, *, disconnect_on_error: bool) -> Reply: ...

    async def disconnect(self, nowait: bool) -> None: ...


class AsyncConnector:
    """Connects to one address. The time bounds are the runtime's deadlines, over whole exchanges."""

    def __init__(
        self, *, runtime: Runtime, url: str, password: str | None, connect_timeout_ms_max: int
    ) -> None:
        parsed: dict[str, Any] = dict(parse_url(url))
        self._class: Callable[..., _Connection] = parsed.get("connection_class", Connection)
        self._peer = peer_of(parsed)
        self._options = connection_options(parsed, password)
        # redis-py's own timeouts are per read; a server that drips would never exceed them.
        self._options.update(socket_timeout=None, socket_connect_timeout=None)
        self._runtime = runtime
        self._connect_timeout_s = connect_timeout_ms_max / 1_000

    def transport(self, *, timeout_ms_max: int) -> AsyncTransport:
        return AsyncTransport(
            self._runtime,
            self._class(**self._options),
            self._peer,
            self._connect_timeout_s,
            timeout_ms_max / 1_000,
        )

    def listener(self) -> AsyncListener:
        return AsyncListener(self._runtime, self._class(**self._options), self._peer, self._connect_timeout_s)


class AsyncTransport:
    """One pipelined connection."""

    def __init__(
        self,
        runtime: Runtime,
        connection: _Connection,
        peer: Peer,
        connect_timeout_s: float,
        timeout_s: float,
    ) -> None:
        self._runtime = runtime
        self._connection = connection
        self._peer = peer
        self._connect_timeout_s = connect_timeout_s
        self._timeout_s = timeout_s
        self._connections = 0

    @property
    def connections(self) -> int:
        return self._connections

    async def connect(self) -> None:
        connection = self._connection
        if connection.is_connected:
            return
        try:
            async with self._runtime.deadline(self._connect_timeout_s):
                await connection.connect()
        except (RedisError, DeadlineExceeded, OSError) as error:
            await connection.disconnect(nowait=True)
            raise self._peer.unavailable(error, opening=True) from error
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        self._connections += 1

    async def exchange(self, packed: Sequence[bytes]) -> Sequence[Reply]:
        connection = self._connection
        try:
            # Nothing can be waiting before we asked but the server's farewell.
            if connection.is_connected and await connection.can_read():
                await connection.disconnect(nowait=True)
            if not connection.is_connected:
                raise NotOpen
            async with self._runtime.deadline(self._timeout_s):
                await connection.send_packed_command([b"".join(packed)], check_health=False)
                return [await _read(connection) for _ in packed]
        except (RedisError, DeadlineExceeded, OSError) as error:
            await connection.disconnect(nowait=True)
            raise self._peer.unavailable(error) from error
        except BaseException:
            await connection.disconnect(nowait=True)
            raise

    async def drop(self) -> None:
        await self._connection.disconnect(nowait=True)

    async def close(self) -> None:
        await _close(self._runtime, self._connection, self._connect_timeout_s)


class AsyncListener:
    """One subscribing connection."""

    def __init__(
        self, runtime: Runtime, connection: _Connection, peer: Peer, connect_timeout_s: float
    ) -> None:
        self._runtime = runtime
        self._connection = connection
        self._peer = peer
        self._connect_timeout_s = connect_timeout_s

    async def connect(self) -> None:
        try:
            async with self._runtime.deadline(self._connect_timeout_s):
                await self._connection.connect()
        except (RedisError, DeadlineExceeded, OSError) as error:
            await self._connection.disconnect(nowait=True)
            raise self._peer.unavailable(error, opening=True) from error

    async def send(self, command: Command) -> None:
        try:
            async with self._runtime.deadline(self._connect_timeout_s):
                await self._connection.send_packed_command([pack(command)], check_health=False)
        except (RedisError, DeadlineExceeded, OSError) as error:
            await self._connection.disconnect(nowait=True)
            raise self._peer.unavailable(error) from error

    async def receive(self) -> Reply:
        try:
            return await _read(self._connection)
        except (RedisError, OSError) as error:
            await self._connection.disconnect(nowait=True)
            raise self._peer.unavailable(error) from error

    async def close(self) -> None:
        await _close(self._runtime, self._connection, self._connect_timeout_s)


async def _close(runtime: Runtime, connection: _Connection, timeout_s: float) -> None:
    """Waits for TLS to take its leave, so that nothing is left open when the loop ends."""
    try:
        async with runtime.deadline(timeout_s):
            await connection.disconnect(nowait=False)
    except (RedisError, DeadlineExceeded, OSError):
        await connection.disconnect(nowait=True)


async def _read(connection: _Connection) -> Reply:
    """Leaves the closing to the caller: redis-py's own would not wait for it."""
    try:
        return await connection.read_response(disable_decoding=True, disconnect_on_error=False)
    except ResponseError as error:
        return refusal(error)


def _proof(
    connector: AsyncConnector, transport: AsyncTransport, listener: AsyncListener
) -> tuple[Connector, Transport, RedisListener]:
    """mypy holds the adapter to its seam here."""
    return connector, transport, listener
