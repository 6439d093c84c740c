"""Which clock the ledger goes by, and what callers over HTTP see when it is not known."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

from adapters.memory.metrics import MemoryMetrics
from adapters.runtime.asyncio_runtime import AsyncioRuntime
from adapters.runtime.system import SystemClock, SystemEntropy
from application.ledger.orders import AccountOrder, Caller, GrantOrder
from application.ledger.service import Ledger
from composition.config.load import load
from composition.config.settings import StoreName
from composition.managers.app_manager import AppManager
from composition.wiring.memory_store import memory_store
from composition.wiring.platform import Platform
from composition.wiring.stores import Stores
from credit_system import Answer, Call, Route
from domain.identity.access import PUBLIC
from domain.ledger.outcomes import Posted
from plugins.plugin import PluginContext
from plugins.registry import PluginEntry
from ports.errors import DependencyUnavailable
from tests.adapters.web.client import Client

HOUR_MS = 3_600_000
YEAR_MS = 365 * 24 * HOUR_MS
CALLER = Caller("main", "test")


class SkewedClock:
    """A host's clock, a year ahead."""

    def now_ms(self) -> int:
        return SystemClock().now_ms() + YEAR_MS


class StoreClock:
    """The store's right time, which can be lost."""

    is_known = True

    def now_ms(self) -> int:
        if not self.is_known:
            raise DependencyUnavailable("ledger clock", "uncertain by 1001 ms")
        return SystemClock().now_ms()


class Bank:
    """A plugin with one write and one read of the ledger."""

    name = "bank"
    version = "1"

    def initialize(self, context: PluginContext) -> None:
        ledger = context.service("ledger", Ledger)

        async def write(call: Call[None, None]) -> Answer:
            # The caller names the account: so its book is the first to ask what time it is.
            outcome = await ledger.open_account(CALLER, AccountOrder("GOLD", id=call.path["name"]))
            assert isinstance(outcome, Posted)
            return Answer(200 if outcome.replayed else 201, {})

        async def read(call: Call[None, None]) -> Answer:
            state = await ledger.account("main", call.path["name"])
            return Answer(404 if state is None else 200, {})

        context.register_routes(
            [
                Route("PUT", "/bank/<name>", "bank_write", PUBLIC, write, success=201),
                Route("GET", "/bank/<name>", "bank_read", PUBLIC, read),
            ]
        )


def run(body: Callable[[AppManager, StoreClock], Awaitable[None]]) -> None:
    """A service on a host a year ahead, and a store that knows better."""
    settings, secrets = load({}, StoreName.MEMORY)
    runtime, store_clock = AsyncioRuntime(), StoreClock()

    async def open_stores() -> Stores:
        return replace(memory_store(settings, SkewedClock()), ledger_clock=store_clock)

    manager = AppManager(
        platform=Platform(
            runtime=runtime, clock=SkewedClock(), entropy=SystemEntropy(), metrics=MemoryMetrics()
        ),
        settings=settings,
        secrets=secrets,
        open_stores=open_stores,
        plugins=lambda: (PluginEntry("bank", "elsewhere", Bank),),
    )

    async def main() -> None:
        async with runtime.running():
            await manager.start()
            await body(manager, store_clock)
            await manager.stop()

    asyncio.run(main())


def test_a_host_a_year_ahead_expires_nothing() -> None:
    async def body(manager: AppManager, clock: StoreClock) -> None:
        ledger = manager.use_cases.ledger
        await ledger.open_account(CALLER, AccountOrder("GOLD", id="ada"))
        expires_ms = clock.now_ms() + HOUR_MS
        order = GrantOrder("ada", 100, "promotional", 50, "grant", expires_ms=expires_ms)
        assert isinstance(await ledger.grant(CALLER, order), Posted)
        state = await ledger.account("main", "ada")
        assert state is not None
        assert state.available == 100
        assert abs((await ledger.head("main")).time_ms - clock.now_ms()) < HOUR_MS

    run(body)


def test_while_the_time_is_unknown_requests_are_told_to_come_back_and_later_they_are_served() -> None:
    async def body(manager: AppManager, clock: StoreClock) -> None:
        client = Client(manager.application)
        assert (await client.request("PUT", "/bank/ada")).status == 201
        for _ in range(2):
            clock.is_known = False
            # At once: they are gathered in batches, which fail each for all who are in it.
            replies = await asyncio.gather(
                *(client.request("PUT", f"/bank/bob-{number}") for number in range(20)),
                client.request("GET", "/bank/ada"),
            )
            for reply in replies:
                assert (reply.status, reply.code) == (503, "dependency_unavailable")
                assert reply.header("retry-after") == "1"
            clock.is_known = True
            assert (await client.request("GET", "/bank/ada")).status == 200
            assert (await client.request("GET", "/bank/bob-1")).status == 404
        replies = await asyncio.gather(
            *(client.request("PUT", f"/bank/bob-{number}") for number in range(20))
        )
        assert {reply.status for reply in replies} == {201}, "nothing of what was refused had been recorded"

    run(body)
