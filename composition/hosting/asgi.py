"""The root ASGI application: the service lives as long as the server's lifespan.

Any ASGI server's lifespan starts and stops it, inside that server's own event loop.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Protocol

from adapters.asgi.types import Application, Message, Receive, Scope, Send
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime

_log = logging.getLogger("credit.lifespan")


class Service(Protocol):
    """What lives inside the lifespan."""

    @property
    def application(self) -> Application:
        """HTTP and WebSocket, once started."""

    @property
    def framework(self) -> Application:
        """The web framework, which has a lifespan of its own inside the service's."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class StartFailed(Exception):
    """The service did not start; the text is for operators."""


class Root:
    """One ASGI callable for one service and one run of a server."""

    def __init__(
        self, *, runtime: Runtime, service: Service, on_ready: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """`on_ready` is awaited once all has started, before the server is told so and accepts."""
        self._runtime = runtime
        self._service = service
        self._on_ready = on_ready
        self.failure: BaseException | None = None
        """Why it did not start, or did not stop in order."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            await self._service.application(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        startup = await receive()
        progress = _Progress(startup, receive, send, self._on_ready)
        try:
            # Whatever the framework's lifespan or a start raises ends up here, as one kind of failure.
            async with self._runtime.running():
                try:
                    await self._service.start()
                    await self._service.framework(scope, progress.receive, progress.send)
                finally:
                    # Also when the server cancels its lifespan: what was started is stopped.
                    await self._runtime.shielded(self._service.stop, name="service-stop")
        except (Exception, BaseExceptionGroup) as error:
            self.failure = _leaf(error)
            if not isinstance(self.failure, Exception):
                raise
            _report(self.failure, started=progress.started)
            kind = "lifespan.shutdown.failed" if progress.started else "lifespan.startup.failed"
            await send({"type": kind, "message": reason_of(self.failure)})
        else:
            await send({"type": "lifespan.shutdown.complete"})


class _Progress:
    """Stands between the server and the framework's lifespan: the server hears of the end last."""

    def __init__(
        self, startup: Message, receive: Receive, send: Send, on_ready: Callable[[], Awaitable[None]] | None
    ) -> None:
        self._startup: Message | None = startup
        self._receive = receive
        self._send = send
        self._on_ready = on_ready
        self.started = False

    async def receive(self) -> Message:
        if self._startup is not None:
            startup, self._startup = self._startup, None
            return startup
        return await self._receive()

    async def send(self, message: Message) -> None:
        match message["type"]:
            case "lifespan.startup.complete":
                if self._on_ready is not None:
                    await self._on_ready()
                self.started = True
                await self._send(message)
            case "lifespan.startup.failed" | "lifespan.shutdown.failed":
                # Raised, not passed on: after a failed start the framework would wait for a shutdown.
                raise StartFailed(message.get("message", ""))
            case _:
                pass


def reason_of(error: BaseException) -> str:
    """One line for operators, without a stack."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _leaf(error: BaseException) -> BaseException:
    """The first failure within a group: on trio, nurseries wrap what their tasks raise."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _report(error: Exception, *, started: bool) -> None:
    what = "did not stop in order" if started else "did not start"
    expected = isinstance(error, DependencyUnavailable | StartFailed)
    with suppress(OSError):
        _log.error("the service %s: %s", what, reason_of(error), exc_info=None if expected else error)
