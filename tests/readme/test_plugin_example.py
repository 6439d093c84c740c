"""The plugin that docs/plugins.md shows is installed and run, as it stands there."""

from __future__ import annotations

import asyncio
import sys
import tomllib
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from adapters.memory.metrics import MemoryMetrics
from adapters.runtime.asyncio_runtime import AsyncioRuntime
from adapters.runtime.system import SystemClock, SystemEntropy
from application.identity.api_keys import CreatedApiKey
from application.ledger.orders import AccountOrder, Caller
from composition.config.load import load
from composition.config.settings import StoreName
from composition.managers.app_manager import AppManager
from composition.wiring.memory_store import memory_store
from composition.wiring.platform import Platform
from composition.wiring.stores import Stores
from domain.audit import SYSTEM, RequestContext
from domain.identity.api_keys import Scope
from domain.ledger.outcomes import Posted
from plugins.plugin import Plugin
from plugins.registry import ENTRY_POINT_GROUP, PluginEntry, available_plugins
from tests.adapters.web.client import Client
from tests.adapters.web.service import PASSWORD
from tests.ground.sources import FLOORS, PROJECT, imported
from tests.readme.walk import blocks

PAGE = (PROJECT / "docs" / "plugins.md").read_text(encoding="utf-8")
SOURCE, WISH_LIST = (block.body for block in blocks(PAGE) if block.words == ("python",))
PYPROJECT = next(block.body for block in blocks(PAGE) if block.words == ("toml",))
GIFTS = "welcome_gifts_total"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example as an installed distribution: what pip would make of the page's two files."""
    project = tomllib.loads(PYPROJECT)["project"]
    (tmp_path / "welcome_gift.py").write_text(SOURCE, encoding="utf-8")
    info = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(metadata, encoding="utf-8")
    points = "".join(
        f"{name} = {value}\n" for name, value in project["entry-points"][ENTRY_POINT_GROUP].items()
    )
    (info / "entry_points.txt").write_text(f"[{ENTRY_POINT_GROUP}]\n{points}", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("welcome_gift", None)


@asynccontextmanager
async def started(metrics: MemoryMetrics, *outside: Plugin) -> AsyncIterator[AppManager]:
    """The whole service in memory, with the plugins that are installed, and these."""
    settings, secrets = load({}, StoreName.MEMORY)
    runtime, clock = AsyncioRuntime(), SystemClock()

    async def open_stores() -> Stores:
        return memory_store(settings, clock)

    platform = Platform(runtime=runtime, clock=clock, entropy=SystemEntropy(), metrics=metrics)
    entries = [PluginEntry(plugin.name, "the page", lambda plugin=plugin: plugin) for plugin in outside]  # type: ignore[misc]
    manager = AppManager(
        platform=platform,
        settings=settings,
        secrets=secrets,
        open_stores=open_stores,
        plugins=lambda: [*available_plugins(), *entries],
    )
    async with runtime.running():
        await manager.start()
        try:
            yield manager
        finally:
            await manager.stop()


@pytest.mark.usefixtures("installed")
def test_the_example_gives_each_account_one_gift_and_counts_it() -> None:
    async def scenario() -> None:
        metrics = MemoryMetrics()
        counted = asyncio.Event()
        async with started(metrics) as manager:
            # After the plugin's own callback, which has the default priority.
            manager.hooks.register("ledger.committed", lambda _: counted.set(), priority=200)
            key = await manager.use_cases.api_keys.create(
                name="shop",
                scopes=frozenset({Scope.CREDITS_WRITE}),
                context=RequestContext(request_id="test", actor=SYSTEM),
            )
            assert isinstance(key, CreatedApiKey)
            opened = await manager.use_cases.ledger.open_account(
                Caller("main", SYSTEM), AccountOrder("GEMS", id="alice")
            )
            assert isinstance(opened, Posted)
            await asyncio.wait_for(counted.wait(), 10)
            counted.clear()

            client = Client(manager.application)
            body, headers = {"account": "alice"}, {"X-API-Key": key.text}
            first = await client.request("POST", "/welcome-gifts", json=body, headers=headers)
            assert (first.status, first.json()) == (201, {"account": "alice", "amount": 100, "is_new": True})
            again = await client.request("POST", "/welcome-gifts", json=body, headers=headers)
            assert (again.status, again.json()["is_new"]) == (200, False)

            state = await manager.use_cases.ledger.account("main", "alice")
            assert state is not None
            assert state.posted == 100
            await asyncio.wait_for(counted.wait(), 10)
            assert metrics.value(GIFTS, "GEMS") == 1

            nobody = await client.request("POST", "/welcome-gifts", json=body)
            assert (nobody.status, nobody.code) == (401, "not_authenticated")
            unknown = await client.request(
                "POST", "/welcome-gifts", json={"account": "nobody"}, headers=headers
            )
            assert (unknown.status, unknown.code) == (409, "account_not_found")
            document = await client.request("GET", "/openapi.json")
            gift = document.json()["paths"]["/welcome-gifts"]["post"]
            told = {status: response.get("content") for status, response in gift["responses"].items()}
            schema = {"$ref": "#/components/schemas/WelcomeGiftGiftAnswer"}
            assert told["200"] == told["201"] == {"application/json": {"schema": schema}}
            assert {"WelcomeGiftGiftBody", "WelcomeGiftGiftAnswer"} <= set(
                document.json()["components"]["schemas"]
            )

    asyncio.run(scenario())


@pytest.mark.usefixtures("installed")
def test_the_example_is_initialised_after_the_built_in_plugins() -> None:
    async def scenario() -> None:
        async with started(MemoryMetrics()) as manager:
            names = [loaded.plugin.name for loaded in manager.plugins.loaded]
            assert names == ["main", "admin", "credits", "welcome_gift"]

    asyncio.run(scenario())


def test_the_example_of_documents_keeps_each_user_s_wishes_apart() -> None:
    async def scenario() -> None:
        module: dict[str, Any] = {"__name__": "wish_list"}
        exec(compile(WISH_LIST, "docs/plugins.md", "exec", dont_inherit=True), module)  # noqa: S102 - the page
        metrics = MemoryMetrics()
        async with started(metrics, module["WishList"]()) as manager:
            client = Client(manager.application)

            async def person(name: str) -> dict[str, str]:
                who = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
                assert (await client.request("POST", "/auth/register", json=who)).status == 201
                login = {"username": name, "password": PASSWORD}
                tokens = (await client.request("POST", "/auth/login", json=login)).json()
                return {
                    "Authorization": f"Bearer {tokens['access_token']}",
                    "X-Device-Id": tokens["device_id"],
                }

            ada, bob = await person("ada"), await person("bob")

            async def wishes(headers: dict[str, str]) -> list[str]:
                reply = await client.request("GET", "/wishes", headers=headers)
                assert reply.status == 200
                items: list[str] = reply.json()["items"]
                return items

            for text in ("a pony", "$where", '{"$ne": null}'):
                reply = await client.request("POST", "/wishes", json={"text": text}, headers=ada)
                assert (reply.status, reply.json()) == (201, {"text": text})
                assert text in await wishes(ada)
            assert len(await wishes(ada)) == 3
            assert metrics.value("credit_cached_queries_total", "hit") == 1
            assert await wishes(bob) == []
            bad = await client.request("POST", "/wishes", json={"text": "\0"}, headers=ada)
            assert (bad.status, bad.code) == (422, "invalid_value")
            assert (await client.request("GET", "/wishes")).status == 401

    asyncio.run(scenario())


@pytest.mark.parametrize("source", [SOURCE, WISH_LIST], ids=["welcome_gift", "wish_list"])
def test_the_examples_import_nothing_of_the_service_but_its_public_face(source: str) -> None:
    ours = {name for _, name in imported(source) if name.partition(".")[0] in {*FLOORS, "credit_system"}}
    assert ours == {"credit_system"}
