from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from adapters.runtime.asyncio_runtime import AsyncioRuntime
from composition.managers.services_manager import ServicesManager


def run(body: Callable[[ServicesManager], Awaitable[None]], *, stop_seconds_max: float = 10.0) -> None:
    async def main() -> None:
        runtime = AsyncioRuntime()
        async with runtime.running():
            await body(ServicesManager(runtime=runtime, stop_seconds_max=stop_seconds_max))

    asyncio.run(main())


def register(services: ServicesManager, key: str, seen: list[str], *, fails: str = "") -> None:
    def step(name: str) -> Callable[[], Awaitable[None]]:
        async def run_step() -> None:
            seen.append(f"{name} {key}")
            if fails == name:
                raise RuntimeError(f"{key} does not {name}")

        return run_step

    services.register(key, key.upper(), start=step("start"), stop=step("stop"))


def test_services_start_in_order_and_stop_in_reverse() -> None:
    seen: list[str] = []

    async def body(services: ServicesManager) -> None:
        for key in ("mongo", "redis", "ledger"):
            register(services, key, seen)
        services.register("clock", object())
        await services.start()
        await services.stop()
        await services.stop()

    run(body)
    assert seen == [
        *("start mongo", "start redis", "start ledger"),
        *("stop ledger", "stop redis", "stop mongo"),
    ]


def test_a_start_that_fails_stops_what_was_started() -> None:
    seen: list[str] = []

    async def body(services: ServicesManager) -> None:
        register(services, "mongo", seen)
        register(services, "redis", seen, fails="start")
        register(services, "ledger", seen)
        with pytest.raises(RuntimeError, match="redis does not start"):
            await services.start()

    run(body)
    assert seen == ["start mongo", "start redis", "stop redis", "stop mongo"]


def test_a_stop_that_fails_is_reported_and_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    async def body(services: ServicesManager) -> None:
        register(services, "mongo", seen)
        register(services, "redis", seen, fails="stop")
        await services.start()
        await services.stop()

    run(body)
    assert seen[-2:] == ["stop redis", "stop mongo"]
    assert "redis does not stop" in caplog.text


def test_a_stop_that_hangs_is_cut_off() -> None:
    seen: list[str] = []

    async def hang() -> None:
        await asyncio.Event().wait()

    async def body(services: ServicesManager) -> None:
        register(services, "mongo", seen)
        services.register("stuck", object(), stop=hang)
        await services.start()
        await services.stop()

    run(body, stop_seconds_max=0.01)
    assert seen == ["start mongo", "stop mongo"]


def test_a_service_is_found_by_key_and_kind() -> None:
    async def body(services: ServicesManager) -> None:
        services.register("clock", 7)
        assert services.service("clock", int) == 7
        with pytest.raises(LookupError, match="clock"):
            services.service("calendar", int)
        with pytest.raises(TypeError, match="int"):
            services.service("clock", str)
        with pytest.raises(ValueError, match="clock"):
            services.register("clock", 8)

    run(body)
