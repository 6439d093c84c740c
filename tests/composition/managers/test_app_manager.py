from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from adapters.crypto.argon2 import Argon2PasswordHasher
from adapters.memory.metrics import MemoryMetrics
from adapters.runtime.asyncio_runtime import AsyncioRuntime
from adapters.runtime.system import SystemClock, SystemEntropy
from application.ledger.announcer import LEDGER_COMMITTED
from application.ledger.orders import AccountOrder, Caller
from application.ledger.service import Ledger
from composition.config.load import load
from composition.config.settings import StoreName
from composition.managers.app_manager import AppManager
from composition.managers.plugin_manager import PluginFailed
from composition.wiring.memory_store import memory_store
from composition.wiring.platform import Platform
from composition.wiring.stores import Stores
from plugins.connection_api import CONNECTION_API, ConnectionAPI
from plugins.plugin import SERVICE_STARTED, PluginContext
from plugins.registry import BUILT_IN, PluginEntry


class Extra:
    """An outside plugin that listens."""

    name = "extra"
    version = "1"

    def __init__(self, seen: list[str], heard: asyncio.Event | None = None) -> None:
        self._seen = seen
        self._heard = heard

    def initialize(self, context: PluginContext) -> None:
        assert context.service("ledger", Ledger) is not None
        context.register_hook(SERVICE_STARTED, lambda _: self._seen.append("started"))
        context.register_hook(LEDGER_COMMITTED, self._committed)

    def _committed(self, _: object) -> None:
        self._seen.append("committed")
        if self._heard is not None:
            self._heard.set()


class Broken(Extra):
    def initialize(self, context: PluginContext) -> None:
        context.service("weather", object)


Body = Callable[[AppManager], Awaitable[None]]


def run(
    body: Body,
    plugins: Sequence[PluginEntry] = BUILT_IN,
    seen: list[str] | None = None,
    *,
    processes: int = 1,
) -> None:
    """Gives the body a manager that has not started, on a fresh memory store."""
    settings, secrets = load({}, StoreName.MEMORY)
    runtime = AsyncioRuntime()
    clock = SystemClock()

    async def noted() -> None:
        if seen is not None:
            seen.append("stores stopped")

    async def open_stores() -> Stores:
        return replace(memory_store(settings, clock), stop=noted)

    manager = AppManager(
        platform=Platform(
            runtime=runtime,
            clock=clock,
            entropy=SystemEntropy(),
            metrics=MemoryMetrics(),
            processes=processes,
        ),
        settings=settings,
        secrets=secrets,
        open_stores=open_stores,
        plugins=lambda: plugins,
    )

    async def main() -> None:
        async with runtime.running():
            await body(manager)

    asyncio.run(main())


def test_the_built_in_plugins_register_all_they_offer() -> None:
    async def body(manager: AppManager) -> None:
        await manager.start()
        assert [loaded.plugin.name for loaded in manager.plugins.loaded] == ["main", "admin", "credits"]
        assert manager.modules.module(CONNECTION_API, ConnectionAPI) is not None
        assert manager.modules.module("credits", Ledger) is manager.use_cases.ledger
        assert {"/auth/login", "/credits/transfers"} <= {route.path for route in manager.routes.routes}
        await manager.stop()

    run(body)


def test_the_ledger_s_batches_reach_the_hooks_of_every_plugin() -> None:
    seen: list[str] = []
    heard = asyncio.Event()

    async def body(manager: AppManager) -> None:
        await manager.start()
        ledger, caller = manager.use_cases.ledger, Caller("main", "test")
        await ledger.open_account(caller, AccountOrder("GOLD", id="ada"))
        await asyncio.wait_for(heard.wait(), 10)
        await manager.stop()

    run(body, (*BUILT_IN, PluginEntry("extra", "elsewhere", lambda: Extra(seen, heard))))
    assert seen[:2] == ["started", "committed"]


def test_a_broken_plugin_stops_the_start_and_closes_the_stores() -> None:
    seen: list[str] = []

    async def body(manager: AppManager) -> None:
        with pytest.raises(PluginFailed, match=r"'extra' \(elsewhere\) failed to initialise: .*weather"):
            await manager.start()
        await manager.stop()
        with pytest.raises(RuntimeError, match="not started"):
            manager.application  # noqa: B018 - reading it is the test

    run(body, (*BUILT_IN, PluginEntry("extra", "elsewhere", lambda: Broken([]))), seen)
    assert seen == ["stores stopped"]


def test_workers_share_the_cores_for_hashing() -> None:
    hashers: list[Argon2PasswordHasher] = []

    async def body(manager: AppManager) -> None:
        await manager.start()
        hasher = manager.use_cases.sessions._passwords
        assert isinstance(hasher, Argon2PasswordHasher)
        hashers.append(hasher)
        await manager.stop()

    run(body)
    run(body, processes=2 * (os.cpu_count() or 1))
    assert [hasher._turnstile._inside_max for hasher in hashers] == [os.cpu_count() or 1, 1]


def test_stopping_again_does_nothing() -> None:
    seen: list[str] = []

    async def body(manager: AppManager) -> None:
        await manager.start()
        await manager.stop()
        await manager.stop()

    run(body, seen=seen)
    assert seen == ["stores stopped"]
