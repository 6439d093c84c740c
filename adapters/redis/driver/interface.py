"""The interface between everything that speaks to Redis and redis-py.

Above it nothing knows which client runs: on asyncio and uvloop redis-py's asynchronous connection, on
trio its synchronous one in a worker thread. redis-py's exceptions end below it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol, TypeVar

from adapters.redis.driver.resp import Command, ErrorReply, Reply
from ports.errors import DependencyUnavailable

Result = TypeVar("Result")

DEPENDENCY = "redis"


class NotOpen(Exception):
    """There is no connection, or the server has taken its leave of it: nothing was sent."""


class WrongServer(DependencyUnavailable):
    """It spoke for the whole connection: this is no server to ask now, or not the one that was meant."""


class Transport(Protocol):
    """One connection. Only one exchange, or one attempt to connect, is under way at a time."""

    @property
    def connections(self) -> int:
        """How often it connected: a change means that the server may be another one."""

    async def connect(self) -> None:
        """Opens it, unless it is open. Raises `DependencyUnavailable` in bounded time."""

    async def exchange(self, packed: Sequence[bytes]) -> Sequence[Reply]:
        """Sends all packed commands at once and reads every reply.

        Raises `NotOpen`, and `DependencyUnavailable` within the time it was given; the connection is
        closed then, so that no late reply is ever taken for another's. Nothing is sent twice.
        """

    async def drop(self) -> None:
        """Closes it without a word to the server; the next `connect` looks the address up anew."""

    async def close(self) -> None: ...


class RedisListener(Protocol):
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

    def listener(self) -> RedisListener: ...


class RedisDriver(Protocol):
    """One server, or a cluster of them, whose commands are routed by their keys."""

    @property
    def connections(self) -> int:
        """How often it connected: a growing number tells that a connection was lost."""

    @property
    def pipelines(self) -> int:
        """Round trips so far."""

    @property
    def commands(self) -> int:
        """Commands sent so far."""

    @property
    def generation(self) -> int:
        """Grows when a server turned out to be the wrong one: connections opened under an earlier number are
        to be opened anew."""

    @property
    def is_cluster(self) -> bool:
        """Only keys of one slot may stand in one command."""

    def slot(self, key: bytes) -> int:
        """Where a key lies."""

    async def execute(self, *command: bytes | str | int) -> Reply:
        """One command's reply; an `ErrorReply` where the server said no. Its second word is its key.

        Like the others, raises `DependencyUnavailable`, and then it may have run.
        """

    async def execute_packed(self, packed: bytes, key: bytes) -> Reply:
        """The same for a command that was packed already; `key` is one of its keys."""

    async def execute_all_packed(self, packed: Sequence[bytes], key: bytes) -> Sequence[Reply]:
        """The same for several packed commands, all by way of `key`, in order; in one pipeline as far as the
        bounds of pipelines allow."""

    async def execute_many(self, commands: Sequence[Command]) -> Sequence[Reply]:
        """The replies of several; those of one slot are sent in order, perhaps over several pipelines."""

    async def together(self, works: Sequence[Callable[[], Awaitable[Result]]]) -> list[Result]:
        """All at the same time. Raises the first `DependencyUnavailable` when all have ended."""

    async def reach(self) -> None:
        """Opens every connection that is not open. Raises `DependencyUnavailable`."""

    def listener(self) -> RedisListener:
        """A new connection for subscriptions; the caller owns it."""

    async def close(self) -> None:
        """Closes every connection. A later command would open it again."""


def accepted(reply: Reply) -> Reply:
    """The reply, or `DependencyUnavailable` where the server refused."""
    if isinstance(reply, ErrorReply):
        raise DependencyUnavailable(DEPENDENCY, f"{reply.code} {reply.detail}")
    return reply
