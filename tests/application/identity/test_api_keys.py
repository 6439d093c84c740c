"""Service keys: made once, believed from memory, gone when revoked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from adapters.crypto.sealing import AesGcmSealer
from adapters.memory.identity.nonces import MemoryNonces
from adapters.runtime.system import SystemEntropy
from application.identity.api_keys import CACHE_AGE_MS_MAX, ApiKeyService, CreatedApiKey, InvalidApiKey
from domain.audit import SYSTEM, AuditAction
from domain.identity.access import Principal, PrincipalKind
from domain.identity.api_keys import ApiKeyProblem, ApiKeyRejection, Scope
from domain.identity.request_signing import SignatureRejection, SignedRequest
from ports.runtime import Runtime
from tests.application.identity.use_cases import CONTEXT, START_MS, House, build
from tests.conformance.identity import an_event
from tests.conformance.runtimes import Driver, run
from tests.simulation.runtime.simulated_runtime import SimulatedRuntime

__all__ = ["run"]


def simulated(body: Callable[[Runtime], Awaitable[None]]) -> None:
    """With virtual time: an hour's sleep takes none."""
    runtime = SimulatedRuntime(1)

    async def main() -> None:
        async with runtime.running():
            await body(runtime)

    runtime.run(main)


def unasked() -> SignedRequest:
    raise AssertionError("a key that need not sign is believed by itself")


SCOPES = frozenset({Scope.CREDITS_READ, Scope.CREDITS_WRITE})


async def created(house: House, *, book: str = "main", expires_ms: int | None = None) -> CreatedApiKey:
    made = await house.api_keys.create(
        name="shop", scopes=SCOPES, book=book, expires_ms=expires_ms, context=CONTEXT
    )
    assert isinstance(made, CreatedApiKey)
    return made


def test_a_key_acts_with_its_scopes_in_its_book(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        made = await created(house, book="tenant-7")
        assert made.text.startswith("ck_")
        assert made.text not in repr(made)
        assert await house.api_keys.authenticate(made.text, unasked) == Principal(
            kind=PrincipalKind.API_KEY, id=made.api_key.id, scopes=SCOPES, book="tenant-7"
        )
        assert await house.actions() == [AuditAction.API_KEY_CREATED]

    run(body)


def test_a_key_that_cannot_be_made_is_refused_whole(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        refused = await house.api_keys.create(
            name="", scopes=frozenset(), book="a b", expires_ms=START_MS, context=CONTEXT
        )
        assert refused == InvalidApiKey(tuple(ApiKeyProblem))
        assert await house.actions() == []

    run(body)


def test_a_request_costs_no_read_while_the_key_is_fresh(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        made = await created(house)
        for _ in range(20):
            await house.api_keys.authenticate(made.text, unasked)
        assert house.keys_kept.reads == 1

    run(body)


def test_bad_keys_are_refused(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        made = await created(house, expires_ms=START_MS + 1_000)
        text = made.text

        async def check(shown: str) -> Principal | ApiKeyRejection | SignatureRejection:
            return await house.api_keys.authenticate(shown, unasked)

        assert await check("nonsense") is ApiKeyRejection.MALFORMED
        assert await check("ck_" + "0" * 26 + "_" + "0" * 52) is ApiKeyRejection.UNKNOWN
        assert await check(text[:-52] + "0" * 52) is ApiKeyRejection.WRONG_SECRET
        assert isinstance(await check(text), Principal)
        house.clock.ms += 1_000
        assert await check(text) is ApiKeyRejection.EXPIRED

    run(body)


def test_a_revoked_key_is_dead_here_at_once_and_told_to_the_limiter(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        made = await created(house)
        await house.api_keys.authenticate(made.text, unasked)
        assert await house.api_keys.revoke(made.api_key.id, CONTEXT)
        assert await house.api_keys.authenticate(made.text, unasked) is ApiKeyRejection.REVOKED
        assert house.revocations.told == [(made.api_key.id, 2 * CACHE_AGE_MS_MAX)]
        assert await house.api_keys.revoke(made.api_key.id, CONTEXT)
        assert not await house.api_keys.revoke("key_none", CONTEXT)
        assert not await house.api_keys.revoke("not an id", CONTEXT)
        assert await house.actions() == [AuditAction.API_KEY_CREATED, AuditAction.API_KEY_REVOKED]

    run(body)


def test_a_key_revoked_elsewhere_is_believed_for_five_seconds_at_most() -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        made = await created(house)
        await house.api_keys.authenticate(made.text, unasked)
        await house.keys_kept.revoke(made.api_key.id, now_ms=START_MS, event=an_event())
        await runtime.sleep(CACHE_AGE_MS_MAX / 1000)
        assert await house.api_keys.authenticate(made.text, unasked) is ApiKeyRejection.REVOKED

    simulated(body)


def test_the_cache_holds_no_more_than_it_may(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        service = ApiKeyService(
            keys=house.keys_kept,
            nonces=MemoryNonces(clock=house.clock),
            sealer=AesGcmSealer(root_key=bytes(32), purpose="test", entropy=SystemEntropy()),
            revocations=house.revocations,
            runtime=runtime,
            clock=house.clock,
            entropy=SystemEntropy(),
            cache_entries_max=2,
        )
        made = [await created(house) for _ in range(4)]
        for one in made:
            assert isinstance(await service.authenticate(one.text, unasked), Principal)
        assert len(service._cache) == 2
        assert len(service._used_ms) == 2

    run(body)


def test_last_use_is_written_behind_and_at_the_end() -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        made = await created(house)
        await house.api_keys.authenticate(made.text, unasked)
        key = await house.keys_kept.get(made.api_key.id)
        assert key is not None
        assert key.last_used_ms is None
        await runtime.sleep(60)
        house.clock.ms += 60_000
        await house.api_keys.authenticate(made.text, unasked)
        await runtime.sleep(1)
        key = await house.keys_kept.get(made.api_key.id)
        assert key is not None
        assert key.last_used_ms == START_MS + 60_000
        house.clock.ms += 5
        await house.api_keys.authenticate(made.text, unasked)
        await house.api_keys.flush_last_used()
        key = await house.keys_kept.get(made.api_key.id)
        assert key is not None
        assert key.last_used_ms == START_MS + 60_005

    simulated(body)


def test_keys_are_listed_newest_first(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        made = []
        for _ in range(3):
            made.append((await created(house)).api_key)
            house.clock.ms += 1
        first = await house.api_keys.list_page(limit=2)
        rest = await house.api_keys.list_page(limit=2, cursor=first.next_cursor)
        assert [*first.items, *rest.items] == list(reversed(made))
        assert rest.next_cursor is None

    run(body)


def test_a_bootstrap_key_ends_those_of_its_place_and_the_one_that_its_file_holds(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)

        async def is_good(key: CreatedApiKey) -> bool:
            return isinstance(await house.api_keys.authenticate(key.text, unasked), Principal)

        context = replace(CONTEXT, actor=SYSTEM)
        first = await house.api_keys.bootstrap("a:/key", context)
        other = await house.api_keys.bootstrap("b:/key", context)
        second = await house.api_keys.bootstrap("a:/key", context)
        assert [await is_good(key) for key in (first, other, second)] == [False, True, True]
        shared = await house.api_keys.bootstrap("c:/key", context, previous_text=second.text)
        assert [await is_good(key) for key in (other, second, shared)] == [True, False, True]
        # What is no bootstrap key, or only says that it is one, ends nothing.
        shop = await created(house)
        forged = f"{shared.text[:-1]}{'0' if shared.text[-1] != '0' else '1'}"
        for shown in (shop.text, forged, "", "ck_", "something else"):
            await house.api_keys.bootstrap("d:/key", context, previous_text=shown)
        assert [await is_good(key) for key in (shop, shared)] == [True, True]
        actions = await house.actions()
        assert actions.count(AuditAction.API_KEY_REVOKED) == 2 + 4

    run(body)
