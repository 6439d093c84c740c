"""The seam between everything that speaks to Redis and redis-py.

Above it nothing knows which client runs: on asyncio and uvloop redis-py's asynchronous connection, on
trio its synchronous one in a worker thread. redis-py's exceptions end here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias, TypeVar

from adapters.redis.trust import Trust, says_wrong_server
from ports.errors import DependencyUnavailable
from ports.runtime import Batcher, DeadlineExceeded, Overloaded, Runtime, Task

Result = TypeVar("Result")
Command: TypeAlias = tuple[bytes | str | int, ...]
"""A command's words; texts travel as UTF-8."""

DEPENDENCY = "redis"
DECISION_TIMEOUT_MS_MAX = 50
CONNECT_TIMEOUT_MS_MAX = 1_000
PIPELINE_COMMANDS_MAX = 64
"""What the pipelines of a few workers together cost a busy Redis must stay far below a decision's deadline,
or a rush looks like an outage. What waits in line for the next one is not late yet."""
PIPELINE_BYTES_MAX = 4 * 2**20
WAITING_COMMANDS_MAX = 8_192


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """The server's error reply to one command; its neighbours in the pipeline are not touched."""

    code: str
    """`NOSCRIPT`, `OOM`, `READONLY`, … as far as redis-py tells it, else `ERR`."""
    detail: str


# What Redis answers: a nested shape that only the sender of a command knows.
Reply: TypeAlias = "int | bytes | ErrorReply | list[Reply] | None"


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


class Redis(Protocol):
    """One server, or a cluster of them, whose commands are routed by their keys."""

    @property
    def connections(self) -> int:
        """How often it connected; whoever remembers the number sees that a connection was lost."""

    @property
    def pipelines(self) -> int:
        """Round trips so far."""

    @property
    def commands(self) -> int:
        """Commands sent so far."""

    @property
    def trusted(self) -> int:
        """Changes when a server turned out to be the wrong one: whatever is connected since before then is
        to connect anew."""

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


SLOW_FAILURE_S = 0.2
AWAY_S = 1.0
"""A server that is frozen, not down, costs every attempt to connect its whole bound. After one such
failure all calls fail at once for so long, instead of each waiting in turn."""


OPENING_S_MAX = 0.25
"""How long commands wait for a connection that is being opened. Opening it may take longer: it goes on
without them, and whoever comes meanwhile is told at once that there is none."""


class _Lane:
    """One connection, and what waits for it."""

    __slots__ = ("batcher", "failure", "opening", "opening_since_s", "pending", "transport", "trusted")

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.batcher: Batcher[bytes, Reply]
        self.pending = 0
        self.opening: Task[None] | None = None
        self.opening_since_s = 0.0
        self.failure: DependencyUnavailable | None = None
        self.trusted = 0


class RedisDriver:
    """Commands of many callers, gathered: what arrives while a pipeline is under way forms the next.

    Every process has one for its decisions. A command that fails is never tried again. A reply that means
    the wrong server closes the connections of every driver that shares the `trust`. With several
    lanes, each a connection of its own, this process packs one's pipeline while the server works on
    another's; a lone caller uses the first only.
    """

    def __init__(
        self,
        *,
        runtime: Runtime,
        connector: Connector,
        timeout_ms_max: int = DECISION_TIMEOUT_MS_MAX,
        pipeline_commands_max: int = PIPELINE_COMMANDS_MAX,
        waiting_commands_max: int = WAITING_COMMANDS_MAX,
        lanes: int = 1,
        trust: Trust | None = None,
        in_cluster: bool = False,
    ) -> None:
        self._connector = connector
        self._runtime = runtime
        self._trust = trust or Trust(runtime)
        self._in_cluster = in_cluster
        self._lanes = []
        for _ in range(lanes):
            lane = _Lane(connector.transport(timeout_ms_max=timeout_ms_max))
            lane.batcher = runtime.batcher(
                partial(self._flush, lane),
                items_max=pipeline_commands_max,
                waiting_max=waiting_commands_max // lanes,
                weigh=len,
                weight_max=PIPELINE_BYTES_MAX,
            )
            self._lanes.append(lane)
        self._monotonic = runtime.monotonic
        self._away_until_s, self._away_reason = 0.0, ""
        self._pipelines = 0
        self._commands = 0

    @property
    def connections(self) -> int:
        return sum(lane.transport.connections for lane in self._lanes)

    @property
    def pipelines(self) -> int:
        return self._pipelines

    @property
    def commands(self) -> int:
        return self._commands

    @property
    def pending(self) -> int:
        """Commands that somebody waits for."""
        return sum(lane.pending for lane in self._lanes)

    @property
    def trusted(self) -> int:
        return self._trust.number

    @property
    def is_cluster(self) -> bool:
        return False

    def slot(self, key: bytes) -> int:  # noqa: ARG002 - one server takes all keys in one command
        return 0

    async def execute(self, *command: bytes | str | int) -> Reply:
        return await _submit(self._lane(), pack(command))

    async def execute_packed(self, packed: bytes, key: bytes) -> Reply:  # noqa: ARG002 - as `slot`
        return await _submit(self._lane(), packed)

    async def execute_many(self, commands: Sequence[Command]) -> Sequence[Reply]:
        return await self.execute_all_packed([pack(command) for command in commands], b"")

    async def execute_all_packed(self, packed: Sequence[bytes], key: bytes) -> Sequence[Reply]:  # noqa: ARG002 - as `slot`
        lane = self._lane()
        lane.pending += len(packed)
        try:
            return await lane.batcher.submit_many(packed)
        except Overloaded as error:
            raise DependencyUnavailable(DEPENDENCY, "too many commands wait") from error
        finally:
            lane.pending -= len(packed)

    async def together(self, works: Sequence[Callable[[], Awaitable[Result]]]) -> list[Result]:
        return await together(self._runtime, works)

    async def reach(self) -> None:
        for lane in self._lanes:
            # As long as it takes, which is bounded: nobody but the caller waits for it.
            await self._opened(lane, wait_s_max=None)
            accepted(await _submit(lane, _PING))

    def listener(self) -> RedisListener:
        return self._connector.listener()

    async def close(self) -> None:
        for lane in self._lanes:
            if lane.opening is not None:
                lane.opening.cancel()
            await lane.transport.close()

    def _lane(self) -> _Lane:
        lanes = self._lanes
        return lanes[0] if len(lanes) == 1 else min(lanes, key=_pending)

    async def _flush(self, lane: _Lane, packed: Sequence[bytes]) -> Sequence[Reply]:
        if self._monotonic() < self._away_until_s:
            raise DependencyUnavailable(DEPENDENCY, f"{self._away_reason} (a moment ago)")
        self._pipelines += 1
        self._commands += len(packed)
        try:
            if lane.opening is None:
                return await self._exchange(lane, packed)
        except NotOpen:
            pass
        await self._opened(lane, wait_s_max=OPENING_S_MAX)
        try:
            return await self._exchange(lane, packed)
        except NotOpen as error:
            raise DependencyUnavailable(DEPENDENCY, "closed the connection at once") from error

    async def _exchange(self, lane: _Lane, packed: Sequence[bytes]) -> Sequence[Reply]:
        began_s = self._monotonic()
        if lane.trusted != self._trust.number:
            await lane.transport.drop()
        try:
            replies = await lane.transport.exchange(packed)
        except WrongServer as error:
            self._trust.withdraw(str(error))
            raise
        except DependencyUnavailable as error:
            self._note_failure(began_s, error)
            raise
        for reply in replies:
            if isinstance(reply, ErrorReply) and says_wrong_server(reply.code, in_cluster=self._in_cluster):
                # What was refused so was not done. It is not sent again: the next command finds the way.
                self._trust.withdraw(f"{reply.code} {reply.detail}")
                break
        return replies

    async def _opened(self, lane: _Lane, *, wait_s_max: float | None) -> None:
        """Returns when the lane's connection is open; waits no longer than that since it was begun."""
        if lane.opening is None:
            lane.failure, lane.opening_since_s = None, self._monotonic()
            lane.opening = self._runtime.start(partial(self._open, lane), name="redis-connect")
        if wait_s_max is None:
            await lane.opening.wait()
        else:
            left_s = lane.opening_since_s + wait_s_max - self._monotonic()
            try:
                async with self._runtime.deadline(max(0.0, left_s)):
                    await lane.opening.wait()
            except DeadlineExceeded:
                raise DependencyUnavailable(DEPENDENCY, "is not connected yet") from None
        if lane.failure is not None:
            raise lane.failure

    async def _open(self, lane: _Lane) -> None:
        began_s, trusted = self._monotonic(), self._trust.number
        try:
            if lane.trusted != trusted and not lane.pending:
                await lane.transport.drop()
            connections = lane.transport.connections
            await lane.transport.connect()
            if lane.transport.connections != connections:
                # One that was open already was made under another trust, and its next command drops it.
                lane.trusted = trusted
        except DependencyUnavailable as error:
            lane.failure = error
            self._note_failure(began_s, error)
        finally:
            lane.opening = None

    def _note_failure(self, began_s: float, error: DependencyUnavailable) -> None:
        failed_s = self._monotonic()
        if failed_s - began_s >= SLOW_FAILURE_S:
            self._away_until_s, self._away_reason = failed_s + AWAY_S, error.reason


async def _submit(lane: _Lane, packed: bytes) -> Reply:
    lane.pending += 1
    try:
        return await lane.batcher.submit(packed)
    except Overloaded as error:
        raise DependencyUnavailable(DEPENDENCY, "too many commands wait") from error
    finally:
        lane.pending -= 1


def _pending(lane: _Lane) -> int:
    return lane.pending


async def together(runtime: Runtime, works: Sequence[Callable[[], Awaitable[Result]]]) -> list[Result]:
    """Runs all at the same time, as `Redis.together` says."""

    async def attempt(work: Callable[[], Awaitable[Result]]) -> Result | DependencyUnavailable:
        try:
            return await work()
        except DependencyUnavailable as error:
            return error

    tasks = [runtime.start(partial(attempt, work), name="redis") for work in works[1:]]
    outcomes = [await attempt(work) for work in works[:1]]
    outcomes += [await task.wait() for task in tasks]
    results = [outcome for outcome in outcomes if not isinstance(outcome, DependencyUnavailable)]
    for outcome in outcomes:
        if isinstance(outcome, DependencyUnavailable):
            raise outcome
    return results


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


_PING = pack(("PING",))


def accepted(reply: Reply) -> Reply:
    """The reply, or `DependencyUnavailable` where the server refused."""
    if isinstance(reply, ErrorReply):
        raise DependencyUnavailable(DEPENDENCY, f"{reply.code} {reply.detail}")
    return reply


def _proof(driver: RedisDriver) -> Redis:
    """mypy holds the driver to its seam here."""
    return driver
