"""One server: the commands of many callers, gathered into pipelines over few connections."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

from adapters.redis.driver.failover import Generation, says_wrong_server
from adapters.redis.driver.interface import (
    DEPENDENCY,
    Connector,
    NotOpen,
    RedisDriver,
    RedisListener,
    Result,
    Transport,
    WrongServer,
    accepted,
)
from adapters.redis.driver.resp import Command, ErrorReply, Reply, pack
from ports.errors import DependencyUnavailable
from ports.runtime import Batcher, DeadlineExceeded, Event, Overloaded, Runtime, Task

DECISION_TIMEOUT_MS_MAX = 50
CONNECT_TIMEOUT_MS_MAX = 1_000
PIPELINE_COMMANDS_MAX = 64
"""The pipelines of a few workers together must cost a busy Redis far less than a decision's deadline, or a
rush looks like an outage. Commands that wait in line for the next one are not late yet."""
PIPELINE_BYTES_MAX = 4 * 2**20
WAITING_COMMANDS_MAX = 8_192
SLOW_FAILURE_S = 0.2
AWAY_S = 1.0
"""A server that is frozen, not down, costs every attempt to connect its whole bound. After one such
failure all calls fail at once for so long, instead of each waiting in turn."""
OPENING_S_MAX = 0.25
"""How long commands wait for a connection that is being opened. Opening it may take longer: it goes on
without them, and later commands fail at once meanwhile."""
IDLE_S_MAX = 5.0
"""How long closing waits for pipelines under way, each of which ends within its own bounds."""

_PING = pack(("PING",))


class _Lane:
    """One connection, and the commands that wait for it."""

    __slots__ = (
        "batcher",
        "failure",
        "flushing",
        "generation",
        "idle",
        "opening",
        "opening_since_s",
        "pending",
        "transport",
    )

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.batcher: Batcher[bytes, Reply]
        self.pending = 0
        self.flushing = False
        """Whether a pipeline is under way, be it that all of its callers were cancelled meanwhile."""
        self.idle: Event | None = None
        """Set at the end of each pipeline; None while no task waits for one."""
        self.opening: Task[None] | None = None
        self.opening_since_s = 0.0
        self.failure: DependencyUnavailable | None = None
        self.generation = 0


class SingleServer:
    """Commands of many callers, gathered: those that arrive while a pipeline is under way form the next.

    Every process has one for its decisions. A command that fails is never tried again. A reply that means
    the wrong server closes the connections of every driver that shares the `generation`. With several
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
        generation: Generation | None = None,
        in_cluster: bool = False,
    ) -> None:
        self._connector = connector
        self._runtime = runtime
        self._generation = generation or Generation(runtime)
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
        """Commands whose callers wait for a reply."""
        return sum(lane.pending for lane in self._lanes)

    @property
    def generation(self) -> int:
        return self._generation.number

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
            # As long as it takes, which is bounded: only the caller waits for it.
            await self._opened(lane, wait_s_max=None)
            accepted(await _submit(lane, _PING))

    def listener(self) -> RedisListener:
        return self._connector.listener()

    async def close(self) -> None:
        for lane in self._lanes:
            await self._until_idle(lane)
            if lane.opening is not None:
                lane.opening.cancel()
            await lane.transport.close()

    async def _until_idle(self, lane: _Lane) -> None:
        """A connection that is closed under a pipeline, on trio under the thread that reads it, ends it by
        whatever its library then says, which is no fault of Redis."""
        with suppress(DeadlineExceeded):
            async with self._runtime.deadline(IDLE_S_MAX):
                while lane.flushing:
                    lane.idle = self._runtime.event()
                    await lane.idle.wait()

    def _lane(self) -> _Lane:
        lanes = self._lanes
        return lanes[0] if len(lanes) == 1 else min(lanes, key=_pending)

    async def _flush(self, lane: _Lane, packed: Sequence[bytes]) -> Sequence[Reply]:
        lane.flushing = True
        try:
            return await self._answered(lane, packed)
        finally:
            lane.flushing = False
            if lane.idle is not None:
                lane.idle.set()

    async def _answered(self, lane: _Lane, packed: Sequence[bytes]) -> Sequence[Reply]:
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
        if lane.generation != self._generation.number:
            await lane.transport.drop()
        try:
            replies = await lane.transport.exchange(packed)
        except WrongServer as error:
            self._generation.end(str(error))
            raise
        except DependencyUnavailable as error:
            self._note_failure(began_s, error)
            raise
        for reply in replies:
            if isinstance(reply, ErrorReply) and says_wrong_server(reply.code, in_cluster=self._in_cluster):
                # A command refused so did not run. It is not sent again: the next one finds the way.
                self._generation.end(f"{reply.code} {reply.detail}")
                break
        return replies

    async def _opened(self, lane: _Lane, *, wait_s_max: float | None) -> None:
        """Returns when the lane's connection is open; waits at most so long since its opening began."""
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
        began_s, generation = self._monotonic(), self._generation.number
        try:
            if lane.generation != generation and not lane.pending and not lane.flushing:
                await lane.transport.drop()
            connections = lane.transport.connections
            await lane.transport.connect()
            if lane.transport.connections != connections:
                # One that was open already is of an older generation, and its next command drops it.
                lane.generation = generation
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


def _proof(driver: SingleServer) -> RedisDriver:
    """mypy holds the driver to its seam here."""
    return driver
