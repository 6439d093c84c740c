"""The whole service over the memory store, as composition builds it, with time in the test's hands."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from adapters.memory.ledger.journal import MemoryJournal
from adapters.memory.metrics import MemoryMetrics
from adapters.runtime.system import SystemEntropy
from application.audit.trail import AuditCounter
from application.identity.api_keys import CreatedApiKey
from application.ledger.announcer import LEDGER_COMMITTED
from application.ledger.committed import CommittedBatch
from composition.config.load import load
from composition.config.settings import StoreName
from composition.managers.app_manager import AppManager
from composition.wiring.memory_store import memory_store
from composition.wiring.platform import Platform
from composition.wiring.stores import Stores
from credit_system import rfc3339
from domain.identity.api_keys import Scope
from ports.realtime.bus import Bus
from ports.runtime import Runtime
from tests.adapters.web.client import Reply
from tests.adapters.web.described import DescribedClient
from tests.adapters.web.service import PASSWORD, SYSTEM_CONTEXT, AdjustableClock
from tests.conformance.runtimes import Driver

SECOND_MS: Final = 1_000
DAY_MS: Final = 86_400_000
ANNOUNCED_S_MAX: Final = 10.0
LAST: Final = 10**6
"""The priority of a hook that runs after all others."""

Story = Callable[["House"], Awaitable[None]]


class House:
    """A running service, its clock, and a key of its administrator."""

    def __init__(
        self,
        manager: AppManager,
        runtime: Runtime,
        clock: AdjustableClock,
        metrics: MemoryMetrics,
        stores: Stores,
    ) -> None:
        self.manager = manager
        self.stores = stores
        self.journal = MemoryJournal()
        self.runtime = runtime
        self._told = runtime.event()
        self._told_seq = 0
        manager.hooks.register(LEDGER_COMMITTED, self._on_committed, LAST)
        self.clock = clock
        self.metrics = metrics
        self.client = DescribedClient(manager.application, manager.routes.routes)
        self.admin: dict[str, str] = {}

    def later(self, milliseconds: int) -> str:
        """The moment so long from now, which may be negative; no time passes."""
        return rfc3339(self.clock.at_ms + milliseconds)

    def pass_time(self, milliseconds: int) -> None:
        self.clock.at_ms += milliseconds

    async def key(self, *scopes: Scope, book: str = "main") -> dict[str, str]:
        """The headers of a new API key's holder."""
        created = await self.manager.use_cases.api_keys.create(
            name="test", scopes=frozenset(scopes), book=book, context=SYSTEM_CONTEXT
        )
        assert isinstance(created, CreatedApiKey)
        return {"X-API-Key": created.text}

    async def person(self, name: str) -> tuple[str, dict[str, str]]:
        """A user's id, and the headers of them logged in."""
        address = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        user = await self.client.request("POST", "/auth/register", json=address)
        assert user.status == 201, user
        login = await self.client.request(
            "POST", "/auth/login", json={"username": name, "password": PASSWORD}
        )
        tokens = login.json()
        headers = {
            "Authorization": f"Bearer {tokens['access_token']}",
            "X-Device-Id": tokens["device_id"],
        }
        return user.json()["id"], headers

    async def get(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        return await self.client.request("GET", path, headers=self.admin if headers is None else headers)

    async def post(
        self,
        path: str,
        body: object = None,
        *,
        key: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        sent = dict(self.admin if headers is None else headers)
        if key is not None:
            sent["Idempotency-Key"] = key
        return await self.client.request("POST", path, json=body, headers=sent)

    async def delete(self, path: str, headers: Mapping[str, str] | None = None) -> Reply:
        return await self.client.request("DELETE", path, headers=self.admin if headers is None else headers)

    async def made(self, path: str, **body: Any) -> dict[str, Any]:
        """The answer to a POST that must create something."""
        reply = await self.post(path, body)
        assert reply.status == 201, (reply.status, reply.body)
        answer: dict[str, Any] = reply.json()
        return answer

    async def open(self, account: str, **more: Any) -> dict[str, Any]:
        return await self.made("/credits/accounts", **{"asset": "GEMS", "id": account, **more})

    async def give(self, account: str, amount: int, **terms: Any) -> str:
        body = {"account": account, "amount": amount, "category": "paid", **terms}
        grant: str = (await self.made("/credits/grants", **body))["id"]
        return grant

    async def spend(self, account: str, amount: int, **more: Any) -> dict[str, Any]:
        body = {"source": account, "amount": amount, "code": "purchase", **more}
        return await self.made("/credits/transfers", **body)

    async def hold(self, account: str, amount: int, **more: Any) -> str:
        body = {"account": account, "amount": amount, "code": "job", **more}
        hold: str = (await self.made("/credits/holds", **body))["id"]
        return hold

    async def balance(self, account: str) -> tuple[int, int, int]:
        """Posted, held, available."""
        answer = (await self.get(f"/credits/accounts/{account}")).json()
        return answer["posted"], answer["held"], answer["available"]

    async def announced(self, seq: int | None = None) -> None:
        """Returns when document `seq`, or all that was committed by now, has been told to every hook, and
        its pushes went out."""
        await self.hooked(seq)
        await self.manager.use_cases.realtime._outgoing.stop()

    async def hooked(self, seq: int | None = None) -> None:
        """The same without the pushes."""
        if seq is None:
            seq = (await self.manager.use_cases.ledger.head("main")).seq
        async with self.runtime.deadline(ANNOUNCED_S_MAX):
            while self._told_seq < seq:
                self._told = self.runtime.event()
                await self._told.wait()

    def _on_committed(self, payload: object) -> None:
        assert isinstance(payload, CommittedBatch)
        self._told_seq = payload.document.seq
        self._told.set()


@asynccontextmanager
async def open_house(
    runtime: Runtime,
    *,
    ticking: bool = False,
    environ: Mapping[str, str] | None = None,
    bus: Bus | None = None,
) -> AsyncIterator[House]:
    settings, secrets = load(environ or {}, StoreName.MEMORY)
    clock, metrics = AdjustableClock(), MemoryMetrics()

    stores = memory_store(settings, clock, on_recorded=AuditCounter(metrics))
    if bus is not None:
        stores = replace(stores, bus=bus)

    async def open_stores() -> Stores:
        return stores

    manager = AppManager(
        platform=Platform(runtime=runtime, clock=clock, entropy=SystemEntropy(), metrics=metrics),
        settings=settings,
        secrets=secrets,
        open_stores=open_stores,
    )
    await manager.start()
    try:
        if not ticking:
            # It goes by real seconds: whether it was faster than the test would be luck.
            await manager.use_cases.ledger._ticker.stop()
        house = House(manager, runtime, clock, metrics, stores)
        assert isinstance(stores.journal, MemoryJournal)
        house.journal = stores.journal
        house.admin = await house.key(Scope.ADMIN)
        yield house
    finally:
        await manager.stop()


def live(
    run_real: Driver, story: Story, *, ticking: bool = False, environ: Mapping[str, str] | None = None
) -> None:
    """Lives the story in a fresh house; what falls due there is recorded by itself only if `ticking`.

    `environ` are its settings.
    """

    async def body(runtime: Runtime) -> None:
        async with open_house(runtime, ticking=ticking, environ=environ) as house:
            await story(house)

    run_real(body)
