"""Hypercorn serving the WebSocket application on a real port, on any loop, in a thread beside the test."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, Protocol, TypeVar, cast

import hypercorn.asyncio
import hypercorn.trio
import trio
import trio.lowlevel
import uvloop
from hypercorn.config import Config

from adapters.runtime.asyncio_runtime import AsyncioRuntime
from adapters.runtime.trio_runtime import TrioRuntime
from adapters.socket.connection import SocketLimits
from domain.realtime.frames import FRAME_BYTES_MAX
from ports.runtime import Event, Runtime
from tests.adapters.socket.wire import Service

Result = TypeVar("Result")
Call = Callable[[], Awaitable[Any]]

LOOPS: Final = ("asyncio", "uvloop", "trio")
CALL_S_MAX: Final = 20.0
UNSENT_S_MAX: Final = 5.0


class Spawner(Protocol):
    """Runs a call in the server's loop and returns its result."""

    def __call__(self, call: Call) -> Any: ...


class Server:
    """A running server. What a test does to the service from outside goes through `do`."""

    def __init__(self, port: int, service: Service, stop: Event, spawn: Spawner) -> None:
        self.port = port
        self.service = service
        self._stop = stop
        self._spawn = spawn
        self.stopped = False
        """Whether it was told to end: its loop may be gone at any moment, and takes no more calls."""

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    def do(self, call: Callable[[], Awaitable[Result]]) -> Result:
        return cast("Result", self._spawn(call))

    def stop(self) -> None:
        """As a signal would: connections are closed, then the server ends."""

        async def stop() -> None:
            self._stop.set()

        self.stopped = True
        self.do(stop)


@contextmanager
def serving(loop: str, *, limits: SocketLimits, origins: tuple[str, ...] = ()) -> Iterator[Server]:
    """Stops it at the end, unless the test has; fails when it does not end."""
    listener = _listener()
    port = listener.getsockname()[1]
    started: list[Server] = []
    ready = threading.Event()
    failures: list[BaseException] = []

    async def main(runtime: Runtime, spawn: Spawner, serve: Callable[..., Awaitable[None]]) -> None:
        service = Service(runtime, limits=limits, origins=origins)
        stop = runtime.event()

        async def until_stopped() -> None:
            started.append(Server(port, service, stop, spawn))
            ready.set()
            await stop.wait()
            await service.application.close_all()

        async with runtime.running():
            await service.realtime.start()
            await serve(_Guarded(service), _config(listener), shutdown_trigger=until_stopped)
            await service.realtime.stop()

    def run() -> None:
        try:
            _run(loop, main)
        except BaseException as error:  # noqa: BLE001 - raised again in the test's own thread
            failures.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=run, name=f"server on {loop}")
    thread.start()
    try:
        assert ready.wait(CALL_S_MAX), "the server did not start"
        if failures:
            raise failures[0]
        yield started[0]
    finally:
        if thread.is_alive() and started and not started[0].stopped:
            started[0].stop()
        thread.join(CALL_S_MAX)
        assert not thread.is_alive(), "the server did not stop"
    if failures:
        raise failures[0]


class _Guarded:
    """The server's lifespan needs an answer; the rest is the application under test."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        await self._service.application(scope, receive, send)


def _listener() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    # Inherited by every connection: a peer that reads nothing is cut off by the kernel (tcp(7)).
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(UNSENT_S_MAX * 1_000))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return listener


def _config(listener: socket.socket) -> Config:
    config = Config()
    config.bind = [f"fd://{listener.detach()}"]
    config.websocket_max_message_size = FRAME_BYTES_MAX
    config.errorlog = None
    return config


def _run(loop: str, main: Callable[..., Awaitable[None]]) -> None:
    if loop == "trio":
        trio.run(_main_on_trio, main)
        return
    new_loop = uvloop.new_event_loop if loop == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(_main_on_asyncio(main))


async def _main_on_asyncio(main: Callable[..., Awaitable[None]]) -> None:
    loop = asyncio.get_running_loop()

    def spawn(call: Call) -> Any:
        async def bounded() -> Any:
            return await call()

        return asyncio.run_coroutine_threadsafe(bounded(), loop).result(CALL_S_MAX)

    await main(AsyncioRuntime(), spawn, hypercorn.asyncio.serve)


async def _main_on_trio(main: Callable[..., Awaitable[None]]) -> None:
    token = trio.lowlevel.current_trio_token()

    def spawn(call: Call) -> Any:
        async def bounded() -> Any:
            with trio.fail_after(CALL_S_MAX):
                return await call()

        return trio.from_thread.run(bounded, trio_token=token)

    await main(TrioRuntime(), spawn, hypercorn.trio.serve)
