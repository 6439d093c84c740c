from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio

from adapters.runtime.asyncio_runtime import AsyncioRuntime
from adapters.runtime.trio_runtime import TrioRuntime
from composition.hosting.lifespan import Root
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime

SCOPE = {"type": "lifespan", "asgi": {"version": "3.0"}}


class Sample:
    """A service that notes what happens to it; `fails` names the step that does not work."""

    def __init__(self, seen: list[str], fails: str) -> None:
        self._seen = seen
        self._fails = fails

    async def start(self) -> None:
        self._step("start")

    async def stop(self) -> None:
        self._step("stop")

    async def application(self, scope: Any, _receive: Any, _send: Any) -> None:
        self._seen.append(f"request {scope['path']}")

    async def framework(self, _scope: Any, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            step = message["type"].removeprefix("lifespan.")
            self._seen.append(f"framework {step}")
            if self._fails == f"framework {step}":
                # As Quart does: it says so and waits for what comes next.
                await send({"type": f"lifespan.{step}.failed", "message": "out of order"})
            else:
                await send({"type": f"lifespan.{step}.complete"})
            if step == "shutdown":
                return

    def _step(self, name: str) -> None:
        self._seen.append(name)
        if self._fails == name:
            raise DependencyUnavailable("mongo", "no primary")


def run(runtime: Runtime, body: Callable[[], Awaitable[None]]) -> None:
    if runtime.name == "trio":
        trio.run(body)
        return

    async def main() -> None:
        await body()

    asyncio.run(main())


@pytest.fixture(params=[AsyncioRuntime, TrioRuntime], ids=["asyncio", "trio"])
def runtime(request: pytest.FixtureRequest) -> Runtime:
    made: Runtime = request.param()
    return made


def live(runtime: Runtime, *, fails: str = "") -> tuple[list[str], Root]:
    """A whole lifespan, and what was seen of it, the server's view included."""
    seen: list[str] = []

    async def on_ready() -> None:
        seen.append("ready")
        if fails == "ready":
            raise OSError("the key file cannot be written")

    root = Root(runtime=runtime, service=Sample(seen, fails), on_ready=on_ready)
    waiting = ["lifespan.startup", "lifespan.shutdown"]

    async def receive() -> dict[str, Any]:
        return {"type": waiting.pop(0)}

    async def send(message: Any) -> None:
        seen.append(message["type"].removeprefix("lifespan.") + message.get("message", ""))

    async def body() -> None:
        await root(dict(SCOPE), receive, send)

    run(runtime, body)
    return seen, root


def test_the_server_hears_of_the_end_when_all_has_stopped(runtime: Runtime) -> None:
    seen, root = live(runtime)
    assert seen == [
        *("start", "framework startup", "ready", "startup.complete"),
        *("framework shutdown", "stop", "shutdown.complete"),
    ]
    assert root.failure is None


def test_a_failed_start_is_told_with_its_reason_and_stopped_again(runtime: Runtime) -> None:
    seen, root = live(runtime, fails="start")
    assert seen == ["start", "stop", "startup.failedDependencyUnavailable: mongo: no primary"]
    assert isinstance(root.failure, DependencyUnavailable)


def test_a_framework_that_does_not_start_fails_the_start(runtime: Runtime) -> None:
    seen, root = live(runtime, fails="framework startup")
    assert seen == ["start", "framework startup", "stop", "startup.failedStartFailed: out of order"]
    assert root.failure is not None


def test_what_fails_before_the_first_request_fails_the_start(runtime: Runtime) -> None:
    seen, _ = live(runtime, fails="ready")
    assert seen[-2:] == ["stop", "startup.failedOSError: the key file cannot be written"]
    assert "startup.complete" not in seen


def test_a_stop_that_fails_is_told(runtime: Runtime) -> None:
    seen, root = live(runtime, fails="stop")
    assert seen[-1] == "shutdown.failedDependencyUnavailable: mongo: no primary"
    assert root.failure is not None


def test_other_scopes_go_to_the_service(runtime: Runtime) -> None:
    seen: list[str] = []
    root = Root(runtime=runtime, service=Sample(seen, ""))

    async def unused(*_: Any) -> Any:
        raise AssertionError

    async def body() -> None:
        await root({"type": "http", "path": "/"}, unused, unused)

    run(runtime, body)
    assert seen == ["request /"]
