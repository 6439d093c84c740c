"""Runs an async test body on each runtime. For every port's conformance suite.

    def test_an_append_is_read_back(run: Driver) -> None:
        async def body(runtime: Runtime) -> None:
            journal = await open_journal(runtime)
            ...

        run(body)

`run` gives asyncio, uvloop, trio, and the simulated runtime under three seeds; `run_real` gives
asyncio and trio, for adapters that do real I/O and for rules about real threads. Both are fixtures
of this folder's conftest; elsewhere import them from here.

The body gets a runtime whose `running()` is open, and what it returns is returned. Its time is
bounded: by seconds on a real runtime, by steps on the simulated one. A failure of a supervised task
that nobody waited for fails the test, unless the test takes it out of `run.unheard`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, Protocol, TypeVar

import pytest
import trio
import uvloop

from adapters.redis.driver import single_server
from adapters.runtime.asyncio_runtime import AsyncioRuntime
from adapters.runtime.supervision import SHUTDOWN_GRACE_S_MAX, THREADS_MAX, Report
from adapters.runtime.trio_runtime import TrioRuntime
from ports.runtime import Runtime
from tests.simulation.runtime.simulated_runtime import SimulatedRuntime

Result = TypeVar("Result")

BODY_S_MAX: Final = 30.0
REAL: Final = ("asyncio", "trio")
ALL: Final = ("asyncio", "uvloop", "trio", "simulated-1", "simulated-2", "simulated-3")


class Driver(Protocol):
    """The fixtures `run` and `run_real`."""

    @property
    def runtime(self) -> str:
        """`asyncio`, `uvloop`, `trio` or `simulated`."""

    @property
    def unheard(self) -> list[tuple[str, BaseException]]:
        """Failures nobody waited for: (task name, exception), in order."""

    def __call__(
        self,
        body: Callable[[Runtime], Awaitable[Result]],
        *,
        opened: bool = True,
        threads_max: int = THREADS_MAX,
        shutdown_grace_s_max: float = SHUTDOWN_GRACE_S_MAX,
    ) -> Result:
        """Without `opened` the body opens `running()` itself."""


class _Driver:
    def __init__(self, parameter: str) -> None:
        self.runtime, _, seed = parameter.partition("-")
        self.unheard: list[tuple[str, BaseException]] = []
        self._seed = int(seed or 0)

    def __call__(
        self,
        body: Callable[[Runtime], Awaitable[Result]],
        *,
        opened: bool = True,
        threads_max: int = THREADS_MAX,
        shutdown_grace_s_max: float = SHUTDOWN_GRACE_S_MAX,
    ) -> Result:
        def hear(name: str, error: BaseException) -> None:
            self.unheard.append((name, error))

        def main_of(runtime: Runtime) -> Callable[[], Awaitable[Result]]:
            async def main() -> Result:
                if not opened:
                    return await body(runtime)
                async with runtime.running():
                    return await body(runtime)

            return main

        if self.runtime == "simulated":
            simulated = SimulatedRuntime(self._seed, shutdown_grace_s_max=shutdown_grace_s_max, report=hear)
            return simulated.run(main_of(simulated))
        if self.runtime == "trio":
            return _run_on_trio(
                main_of(
                    TrioRuntime(
                        threads_max=threads_max, shutdown_grace_s_max=shutdown_grace_s_max, report=hear
                    )
                )
            )
        return self._run_on_asyncio(main_of, threads_max, shutdown_grace_s_max, hear)

    def _run_on_asyncio(
        self,
        main_of: Callable[[Runtime], Callable[[], Awaitable[Result]]],
        threads_max: int,
        shutdown_grace_s_max: float,
        report: Report,
    ) -> Result:
        main = main_of(
            AsyncioRuntime(
                "uvloop" if self.runtime == "uvloop" else "asyncio",
                threads_max=threads_max,
                shutdown_grace_s_max=shutdown_grace_s_max,
                report=report,
            )
        )

        async def bounded() -> Result:
            async with asyncio.timeout(BODY_S_MAX):
                return await main()

        new_loop = uvloop.new_event_loop if self.runtime == "uvloop" else asyncio.new_event_loop
        with asyncio.Runner(loop_factory=new_loop) as runner:
            return runner.run(bounded())


def _run_on_trio(main: Callable[[], Awaitable[Result]]) -> Result:
    async def bounded() -> Result:
        with trio.fail_after(BODY_S_MAX):
            return await main()

    return trio.run(bounded)


def _driver(parameter: str) -> Iterator[Driver]:
    driver = _Driver(parameter)
    yield driver
    assert driver.unheard == [], f"tasks failed and nobody waited for them: {driver.unheard}"


@pytest.fixture(params=ALL)
def run(request: pytest.FixtureRequest) -> Iterator[Driver]:
    yield from _driver(request.param)


@pytest.fixture(params=REAL)
def run_real(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driver]:
    # A busy machine is not taken for a Redis that is away; the bound itself is tried without one.
    monkeypatch.setattr(single_server, "OPENING_S_MAX", BODY_S_MAX)
    yield from _driver(request.param)
