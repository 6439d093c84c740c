"""What every counter of wrong passwords promises."""

from __future__ import annotations

from functools import partial

from domain.identity.login_delay import NO_FAILURES, DelayPolicy, Failures, after_failure
from tests.conformance.identity import NOW_MS, OnStores, Stores, identity

__all__ = ["identity"]

POLICY = DelayPolicy(free_failures=3, base_ms=1_000, max_ms=8_000, forget_ms=60_000)


def test_failures_are_counted_as_the_domain_says(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        expected = await stores.login_failures.get("ada")
        assert expected == NO_FAILURES
        # On, back (another host's clock), to the last moment of memory, and past it.
        for now_ms in (NOW_MS, NOW_MS + 5, NOW_MS + 1, NOW_MS + 60_004, NOW_MS + 120_004, NOW_MS + 120_005):
            await stores.login_failures.add("ada", POLICY, now_ms=now_ms)
            expected = after_failure(POLICY, expected, now_ms)
            assert await stores.login_failures.get("ada") == expected
        assert expected == Failures(2, NOW_MS + 120_005)
        assert await stores.login_failures.get("bob") == NO_FAILURES

    identity(body)


def test_of_failures_at_the_same_moment_none_is_lost(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        add = partial(stores.login_failures.add, "ada", POLICY, now_ms=NOW_MS)
        tasks = [stores.runtime.start(add, name="failure") for _ in range(12)]
        for task in tasks:
            await task.wait()
        assert await stores.login_failures.get("ada") == Failures(12, NOW_MS)

    identity(body)


def test_what_is_cleared_is_forgotten(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        await stores.login_failures.add("ada", POLICY, now_ms=NOW_MS)
        await stores.login_failures.clear("ada")
        await stores.login_failures.clear("bob")
        assert await stores.login_failures.get("ada") == NO_FAILURES

    identity(body)
