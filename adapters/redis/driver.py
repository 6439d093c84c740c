"""The seam between everything that speaks to Redis and redis-py.

Above it nothing knows which client runs: on asyncio and uvloop redis-py's asynchronous connection, on
trio its synchronous one in a worker thread. redis-py's exceptions end here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from ports.errors import DependencyUnavailable
from ports.runtime import Batcher, Overloaded, Runtime

Command: TypeAlias = tuple[bytes | str | int, ...]
"""A command's words; texts travel as UTF-8."""

DEPENDENCY = "redis"
DECISION_TIMEOUT_MS_MAX = 50
CONNECT_TIMEOUT_MS_MAX = 1_000
PIPELINE_COMMANDS_MAX = 512
PIPELINE_BYTES_MAX = 4 * 2**20
WAITING_COMMANDS_MAX = 8_192


@dataclass(frozen=True, slots=True)
class Refusal:
    """The server's error reply to one command; its neighbours in the pipeline are not touched."""

    code: str
    """`NOSCRIPT`, `OOM`, `READONLY`, … as far as redis-py tells it, else `ERR`."""
    detail: str


# What Redis answers: a nested shape that only the sender of a command knows.
Reply: TypeAlias = "int | bytes | Refusal | list[Reply] | None"


class Transport(Protocol):
    """One connection. Only one exchange is under way at a time."""

    @property
    def connections(self) -> int:
        """How often it connected: a change means that the server may be another one."""

    async def exchange(self, packed: Sequence[bytes]) -> Sequence[Reply]:
        """Sends all packed commands at once and reads every reply. Connects if need be.

        Raises `DependencyUnavailable` within the time it was given; the connection is closed then, so
        that no late reply is ever taken for another's. Nothing is sent twice.
        """

    async def close(self) -> None: ...


class Listener(Protocol):
    """A connection that is spoken to: it subscribes and receives."""

    async def connect(self) -> None:
        """Raises `DependencyUnavailable` in bounded time."""

    async def send(self, command: Command) -> None:
        """Hands the command over; its answer comes through `receive`."""

    async def receive(self) -> Reply:
        """The next thing that the server says. None when it said nothing for a moment.

        Raises `DependencyUnavailable` when the connection is lost.
        """

    async def close(self) -> None: ...


class Connector(Protocol):
    """Makes connections with the address, credentials and bounds it was given."""

    def transport(self, *, timeout_ms_max: int) -> Transport: ...

    def listener(self) -> Listener: ...


SLOW_FAILURE_S = 0.2
AWAY_S = 1.0
"""A server that is frozen, not down, costs every attempt to connect its whole bound. After one such
failure all calls fail at once for so long, instead of each waiting in turn."""


class RedisDriver:
    """Commands of many callers, gathered: what arrives while a pipeline is under way forms the next.

    Every process has one for its decisions. A command that fails is never tried again.
    """

    def __init__(
        self,
        *,
        runtime: Runtime,
        connector: Connector,
        timeout_ms_max: int = DECISION_TIMEOUT_MS_MAX,
        pipeline_commands_max: int = PIPELINE_COMMANDS_MAX,
        waiting_commands_max: int = WAITING_COMMANDS_MAX,
    ) -> None:
        self._connector = connector
        self._transport = connector.transport(timeout_ms_max=timeout_ms_max)
        self._batcher: Batcher[bytes, Reply] = runtime.batcher(
            self._flush,
            items_max=pipeline_commands_max,
            waiting_max=waiting_commands_max,
            weigh=len,
            weight_max=PIPELINE_BYTES_MAX,
        )
        self._monotonic = runtime.monotonic
        self._away_until_s = 0.0
        self._pipelines = 0
        self._commands = 0

    @property
    def connections(self) -> int:
        """How often it connected; whoever remembers the number sees that a connection was lost."""
        return self._transport.connections

    @property
    def pipelines(self) -> int:
        """Round trips so far."""
        return self._pipelines

    @property
    def commands(self) -> int:
        """Commands sent so far."""
        return self._commands

    async def execute(self, *command: bytes | str | int) -> Reply:
        """One command's reply; a `Refusal` where the server said no."""
        return await self.execute_packed(pack(command))

    async def execute_packed(self, packed: bytes) -> Reply:
        """The same for a command that was packed already."""
        try:
            return await self._batcher.submit(packed)
        except Overloaded as error:
            raise DependencyUnavailable(DEPENDENCY, "too many commands wait") from error

    async def execute_many(self, commands: Sequence[Command]) -> Sequence[Reply]:
        """The replies of several, sent in this order, perhaps over several pipelines."""
        try:
            return await self._batcher.submit_many([pack(command) for command in commands])
        except Overloaded as error:
            raise DependencyUnavailable(DEPENDENCY, "too many commands wait") from error

    def listener(self) -> Listener:
        """A new connection for subscriptions; the caller owns it."""
        return self._connector.listener()

    async def close(self) -> None:
        """Closes the connection. A later command would open it again."""
        await self._transport.close()

    async def _flush(self, packed: Sequence[bytes]) -> Sequence[Reply]:
        began_s = self._monotonic()
        if began_s < self._away_until_s:
            raise DependencyUnavailable(DEPENDENCY, "gave no answer a moment ago")
        self._pipelines += 1
        self._commands += len(packed)
        try:
            return await self._transport.exchange(packed)
        except DependencyUnavailable:
            failed_s = self._monotonic()
            if failed_s - began_s >= SLOW_FAILURE_S:
                self._away_until_s = failed_s + AWAY_S
            raise


def frame(word: bytes | str | int) -> bytes:
    """One word as the wire wants it (RESP: a bulk string)."""
    if isinstance(word, str):
        word = word.encode()
    elif isinstance(word, int):
        word = b"%d" % word
    return b"$%d\r\n%b\r\n" % (len(word), word)


def pack(command: Command) -> bytes:
    """A command as the wire wants it (RESP: an array)."""
    return b"*%d\r\n%b" % (len(command), b"".join(map(frame, command)))


def accepted(reply: Reply) -> Reply:
    """The reply, or `DependencyUnavailable` where the server refused."""
    if isinstance(reply, Refusal):
        raise DependencyUnavailable(DEPENDENCY, f"{reply.code} {reply.detail}")
    return reply
