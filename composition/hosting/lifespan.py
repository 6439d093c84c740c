"""The root ASGI application: the service lives for as long as the lifespan of its server.

The lifespan of any ASGI server starts and stops it, inside of that server's event loop.
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
    """A service that lives within a lifespan."""

    @property
    def application(self) -> Application:
        """The application for HTTP and WebSocket, once started."""

    @property
    def framework(self) -> Application:
        """The web framework, whose own lifespan runs within that of the service."""

    async def start(self) -> None:
        """Starts the service, or raises."""

    async def stop(self) -> None:
        """Stops the service, also after a start that failed."""


class StartFailed(Exception):
    """The service did not start. The text is for operators."""


class Root:
    """One ASGI callable for one service and one run of a server."""

    def __init__(
        self, *, runtime: Runtime, service: Service, on_ready: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """`on_ready` is awaited once the service has started, before the server learns that and accepts."""
        self._runtime = runtime
        self._service = service
        self._on_ready = on_ready
        self.failure: BaseException | None = None
        """Why the service did not start, or did not stop in order."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        else:
            await self._service.application(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        startup = await receive()
        progress = _Progress(startup, receive, send, self._on_ready)
        try:
            # A failure of the start or of the framework's lifespan arrives here.
            async with self._runtime.running():
                try:
                    await self._service.start()
                    await self._service.framework(scope, progress.receive, progress.send)
                finally:
                    # Also after the server has cancelled its lifespan.
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
    """Stands between the server and the framework's lifespan, so that the server learns of the end last."""

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
                # Raised and not passed on: the framework would wait for a shutdown after a failed start.
                raise StartFailed(message.get("message", ""))
            case _:
                pass


def reason_of(error: BaseException) -> str:
    """An error as one line for operators, without a stack."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def _leaf(error: BaseException) -> BaseException:
    """The first error within a group: nurseries of trio wrap the errors of their tasks."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


def _report(error: Exception, *, started: bool) -> None:
    what = "did not stop in order" if started else "did not start"
    expected = isinstance(error, DependencyUnavailable | StartFailed)
    with suppress(OSError):
        _log.error("the service %s: %s", what, reason_of(error), exc_info=None if expected else error)
