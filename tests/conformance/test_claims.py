"""What every store of claims promises."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from adapters.memory.ledger.claims import MemoryClaims
from adapters.mongo.indexes import create_indexes
from adapters.mongo.ledger import claims as mongo_claims
from adapters.runtime.system import SystemClock
from ports.ledger.claims import Claims
from ports.runtime import Runtime
from tests.conformance.identity import connect_as_app, database_of_its_own
from tests.conformance.runtimes import Driver
from tests.servers.mongod import MongodServer

LONG_MS = 60_000
OnClaims = Callable[[Callable[[Runtime, Claims], Awaitable[None]]], None]


@pytest.fixture(params=["memory", "pymongo"])
def claims(request: pytest.FixtureRequest, run_real: Driver) -> OnClaims:
    def on_memory(body: Callable[[Runtime, Claims], Awaitable[None]]) -> None:
        async def main(runtime: Runtime) -> None:
            await body(runtime, MemoryClaims(SystemClock()))

        run_real(main)

    def on_mongo(body: Callable[[Runtime, Claims], Awaitable[None]]) -> None:
        mongod: MongodServer = request.getfixturevalue("mongod")
        with database_of_its_own(mongod) as url:

            async def main(runtime: Runtime) -> None:
                driver = await connect_as_app(runtime, mongod, url, request.param)
                try:
                    await create_indexes(driver, [mongo_claims.INDEXES])
                    await body(runtime, mongo_claims.MongoClaims(driver))
                finally:
                    await driver.close()

            run_real(main)

    return on_memory if request.param == "memory" else on_mongo


async def claimant(claims: Claims, book: str = "main") -> str | None:
    claim = await claims.standing(book)
    return None if claim is None else claim.who


def test_a_claim_stands_for_its_book_until_it_is_withdrawn(claims: OnClaims) -> None:
    async def body(_runtime: Runtime, claims: Claims) -> None:
        assert await claims.standing("main") is None
        await claims.make("main", "me", for_ms=LONG_MS)
        standing = await claims.standing("main")
        assert standing is not None
        assert standing.who == "me"
        assert 0 < standing.left_ms <= LONG_MS
        assert await claims.standing("other") is None
        await claims.withdraw("main", "me")
        assert await claims.standing("main") is None

    claims(body)


def test_nobody_takes_a_claim_that_stands_from_another(claims: OnClaims) -> None:
    async def body(_runtime: Runtime, claims: Claims) -> None:
        await claims.make("main", "first", for_ms=LONG_MS)
        await claims.make("main", "second", for_ms=LONG_MS)
        assert await claimant(claims) == "first"
        await claims.withdraw("main", "second")
        assert await claimant(claims) == "first"

    claims(body)


def test_a_claim_ends_by_itself_and_is_then_anybodys(claims: OnClaims) -> None:
    async def body(runtime: Runtime, claims: Claims) -> None:
        await claims.make("main", "first", for_ms=30)
        while await claims.standing("main") is not None:
            await runtime.sleep(0.005)
        await claims.make("main", "second", for_ms=LONG_MS)
        assert await claimant(claims) == "second"
        await claims.make("main", "second", for_ms=1)
        while await claims.standing("main") is not None:
            await runtime.sleep(0.005)

    claims(body)


def test_a_name_is_text_and_never_a_command(claims: OnClaims) -> None:
    async def body(_runtime: Runtime, claims: Claims) -> None:
        await claims.make("$who", "$until", for_ms=LONG_MS)
        assert await claimant(claims, "$who") == "$until"
        await claims.withdraw("$who", "$until")
        assert await claimant(claims, "$who") is None

    claims(body)
