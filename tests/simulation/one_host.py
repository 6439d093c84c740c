"""The workers of one simulated host: locks that die with their holder, streams that end with either side."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from adapters.worker_link.host import Host, HostLock, Listener, Stream
from ports.runtime import Event
from tests.simulation.runtime.simulated_runtime import SimulatedRuntime, Simulation

TRAVEL_S_MAX = 0.002
PIECES_MAX = 3


class OneHost:
    """What the kernel knows."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.locks: dict[str, SimulatedRuntime] = {}
        self.listeners: dict[str, _Listener] = {}
        self.pipes: list[_Pipe] = []
        self.holders: list[str] = []
        """Who took a lock, in order."""

    def seen_by(self, runtime: SimulatedRuntime, name: str) -> Host:
        return _Worker(self, runtime, name)

    def holder(self) -> SimulatedRuntime | None:
        """Who holds the one book of the test."""
        return next(iter(self.locks.values()), None)

    def freeze(self, runtime: SimulatedRuntime) -> None:
        """It runs no further, as under SIGSTOP, and keeps what it has: lock, listener, connections."""
        runtime.crash()

    def kill(self, runtime: SimulatedRuntime) -> None:
        """The process is gone at once; what it had sent is still delivered."""
        runtime.crash()
        self.locks = {name: owner for name, owner in self.locks.items() if owner is not runtime}
        self.listeners = {name: each for name, each in self.listeners.items() if each.runtime is not runtime}
        for pipe in self.pipes:
            if runtime in pipe.ends:
                pipe.finish()


@dataclass(slots=True)
class _Pipe:
    """One direction of a stream: from one process to another."""

    simulation: Simulation
    ends: tuple[SimulatedRuntime, SimulatedRuntime]
    pieces: deque[bytes] = field(default_factory=deque)
    finished: bool = False
    waiting: Event | None = None

    def put(self, data: bytes) -> None:
        random = self.simulation.random
        cuts = sorted(random.randrange(len(data) + 1) for _ in range(random.randrange(PIECES_MAX)))
        for start, stop in zip([0, *cuts], [*cuts, len(data)], strict=True):
            if start < stop:
                self.pieces.append(data[start:stop])
        self._wake()

    def finish(self) -> None:
        self.finished = True
        self._wake()

    async def get(self) -> bytes:
        while not self.pieces:
            if self.finished:
                return b""
            event = self.simulation.outside.event()
            self.waiting = event
            await event.wait()
        return self.pieces.popleft()

    def _wake(self) -> None:
        event, self.waiting = self.waiting, None
        if event is not None:
            event.set()


class _Stream:
    def __init__(self, runtime: SimulatedRuntime, incoming: _Pipe, outgoing: _Pipe) -> None:
        self._runtime = runtime
        self._incoming = incoming
        self._outgoing = outgoing

    async def receive(self) -> bytes:
        data = await self._incoming.get()
        await self._runtime.sleep(self._runtime.simulation.random.uniform(0, TRAVEL_S_MAX))
        return data

    async def send(self, data: bytes) -> None:
        if self._outgoing.finished:
            raise BrokenPipeError
        self._outgoing.put(data)
        await self._runtime.sleep(self._runtime.simulation.random.uniform(0, TRAVEL_S_MAX))

    def end(self) -> None:
        self._incoming.finish()
        self._outgoing.finish()

    def close(self) -> None:
        self.end()


class _Listener:
    def __init__(self, host: OneHost, runtime: SimulatedRuntime, name: str) -> None:
        self.runtime = runtime
        self._host = host
        self._name = name
        self._waiting: deque[Stream] = deque()
        self._event = runtime.event()

    def came(self, stream: Stream) -> None:
        self._waiting.append(stream)
        self._event.set()

    async def accept(self) -> Stream:
        while not self._waiting:
            self._event = self.runtime.event()
            await self._event.wait()
        return self._waiting.popleft()

    def is_in_place(self) -> bool:
        return True

    def close(self) -> None:
        del self._host.listeners[self._name]
        for stream in self._waiting:
            stream.end()


class _Lock:
    def __init__(self, host: OneHost, name: str) -> None:
        self._host = host
        self._name = name

    def is_in_place(self) -> bool:
        return True

    def release(self) -> None:
        del self._host.locks[self._name]


class _Worker:
    def __init__(self, host: OneHost, runtime: SimulatedRuntime, name: str) -> None:
        self._host = host
        self._runtime = runtime
        self._name = name

    def lock(self, name: str) -> HostLock | None:
        if name in self._host.locks:
            return None
        self._host.locks[name] = self._runtime
        self._host.holders.append(self._name)
        return _Lock(self._host, name)

    def listen(self, name: str) -> Listener:
        self._host.listeners[name] = listener = _Listener(self._host, self._runtime, name)
        return listener

    def connect(self, name: str) -> Stream | None:
        listener = self._host.listeners.get(name)
        if listener is None:
            return None
        ends = (self._runtime, listener.runtime)
        there, back = (_Pipe(self._host.simulation, ends) for _ in range(2))
        self._host.pipes += [there, back]
        listener.came(_Stream(listener.runtime, there, back))
        return _Stream(self._runtime, back, there)


def _fits(host: OneHost, runtime: SimulatedRuntime) -> Host:
    return host.seen_by(runtime, "worker")
