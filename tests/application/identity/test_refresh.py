"""Refreshing: rotation, lost answers, theft."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.crypto.derivation import derived_key
from application.identity.revocations import REVOCATION_MS
from application.identity.sessions import RefreshDelayed, RefreshRejection, TokenPair
from application.identity.tokens import VerifiedToken
from domain.audit import AuditAction
from domain.identity.sessions import ROTATIONS_MAX
from domain.identity.tokens import Fingerprint, refresh_token
from ports.runtime import Runtime
from tests.application.identity.use_cases import CONTEXT, RING, House, build
from tests.conformance.runtimes import Driver, run

__all__ = ["run"]

EVE = "device-of-eve-0001"
REFRESH_KEY = derived_key(RING[0].secret, "refresh-tokens")


async def refreshed(
    house: House, token: str, device_id: str | None
) -> TokenPair | RefreshRejection | RefreshDelayed:
    return await house.sessions.refresh(token=token, device_id=device_id, context=CONTEXT)


async def a_pair(house: House) -> TokenPair:
    await house.registered()
    return await house.logged_in()


async def rotated(house: House, pair: TokenPair) -> TokenPair:
    new = await refreshed(house, pair.refresh_token, pair.device_id)
    assert isinstance(new, TokenPair)
    return new


def test_a_refresh_gives_a_new_pair_of_the_same_session(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        pair = await a_pair(house)
        house.clock.ms += 600_000
        new = await rotated(house, pair)
        assert (new.session_id, new.device_id) == (pair.session_id, pair.device_id)
        assert new.refresh_token != pair.refresh_token
        verified = house.tokens.verify_access(new.access_token, device_id=pair.device_id)
        assert isinstance(verified, VerifiedToken)
        assert isinstance(await refreshed(house, new.refresh_token, pair.device_id), TokenPair)

    run(body)


def test_a_lost_answer_is_given_again_for_ten_seconds(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        pair = await a_pair(house)
        new = await rotated(house, pair)
        house.clock.ms += 10_000
        assert (await rotated(house, pair)).refresh_token == new.refresh_token
        assert isinstance(await refreshed(house, new.refresh_token, pair.device_id), TokenPair)

    run(body)


def test_of_many_refreshes_at_once_all_get_the_same_successor(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        pair = await a_pair(house)
        tasks = [runtime.start(lambda: rotated(house, pair), name="refresh") for _ in range(8)]
        assert len({(await task.wait()).refresh_token for task in tasks}) == 1

    run(body)


def test_an_answer_that_nobody_got_is_given_again_at_any_time(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        pair = await a_pair(house)
        new = await rotated(house, pair)
        house.clock.ms += 3 * 86_400_000
        assert (await rotated(house, pair)).refresh_token == new.refresh_token
        assert isinstance(await refreshed(house, new.refresh_token, pair.device_id), TokenPair)

    run(body)


def test_three_tabs_that_refresh_in_turn_all_go_on(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        first = await a_pair(house)
        second = await rotated(house, first)
        third = await rotated(house, second)
        house.clock.ms += 10_000
        late = await rotated(house, first)
        assert late.refresh_token == second.refresh_token
        assert (await rotated(house, late)).refresh_token == third.refresh_token
        verified = house.tokens.verify_access(late.access_token, device_id=first.device_id)
        assert isinstance(verified, VerifiedToken)
        assert house.revocations.told == []

    run(body)


def test_many_tabs_that_each_refresh_what_they_got_last_keep_one_family_alive(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        pair = await a_pair(house)

        async def tab() -> str:
            mine = pair
            for _ in range(20):
                mine = await rotated(house, mine)
            return mine.refresh_token

        tasks = [runtime.start(tab, name="tab") for _ in range(8)]
        assert len({await task.wait() for task in tasks}) == 1

    run(body)


def test_a_later_repeat_is_theft_and_the_family_dies(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        pair = await a_pair(house)
        second = await rotated(house, pair)
        third = await rotated(house, second)
        house.clock.ms += 10_001
        assert await refreshed(house, pair.refresh_token, pair.device_id) is RefreshRejection.TOKEN_REUSED
        for dead in (pair, second, third):
            assert await refreshed(house, dead.refresh_token, pair.device_id) is RefreshRejection.ENDED
        assert house.revocations.told == [(pair.session_id, REVOCATION_MS)]
        assert AuditAction.TOKEN_REUSED in await house.actions()

    run(body)


def test_a_successor_that_was_shown_elsewhere_had_arrived(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        pair = await a_pair(house)
        new = await rotated(house, pair)
        house.clock.ms += 10_001
        assert await refreshed(house, new.refresh_token, EVE) is RefreshRejection.OTHER_DEVICE
        assert await refreshed(house, pair.refresh_token, pair.device_id) is RefreshRejection.TOKEN_REUSED

    run(body)


def test_a_repeat_from_another_device_is_theft_at_once(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        pair = await a_pair(house)
        await rotated(house, pair)
        assert await refreshed(house, pair.refresh_token, EVE) is RefreshRejection.TOKEN_REUSED

    run(body)


def test_only_a_retired_token_ends_its_family_where_no_device_is_named(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        first = await a_pair(house)
        second = await rotated(house, first)
        await rotated(house, second)
        house.clock.ms += 10_001
        for device_id in (None, "", "undefined"):
            outcome = await refreshed(house, second.refresh_token, device_id)
            assert outcome is RefreshRejection.NO_DEVICE
        assert isinstance(await refreshed(house, second.refresh_token, first.device_id), TokenPair)
        assert await refreshed(house, first.refresh_token, None) is RefreshRejection.TOKEN_REUSED
        assert await refreshed(house, second.refresh_token, first.device_id) is RefreshRejection.ENDED

    run(body)


def test_the_current_token_is_refused_on_another_device_and_stays_good_on_its_own(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        pair = await a_pair(house)
        for device_id, why in ((EVE, RefreshRejection.OTHER_DEVICE), (None, RefreshRejection.NO_DEVICE)):
            assert await refreshed(house, pair.refresh_token, device_id) is why
        assert isinstance(await refreshed(house, pair.refresh_token, pair.device_id), TokenPair)

    run(body)


def test_a_session_that_is_refreshed_without_end_has_to_wait_and_lives(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        first = last = await a_pair(house)
        for _ in range(ROTATIONS_MAX):
            last = await rotated(house, last)
        house.clock.ms += 4_000
        assert await refreshed(house, last.refresh_token, last.device_id) == RefreshDelayed(6_001)
        assert isinstance(await refreshed(house, first.refresh_token, first.device_id), TokenPair)
        house.clock.ms += 6_001
        assert isinstance(await refreshed(house, last.refresh_token, last.device_id), TokenPair)

    run(body)


@pytest.mark.parametrize("level", [Fingerprint.OFF, Fingerprint.OBSERVE])
def test_without_enforcement_the_device_does_not_matter(run: Driver, level: Fingerprint) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime, fingerprint=level)
        pair = await a_pair(house)
        new = await refreshed(house, pair.refresh_token, None)
        assert isinstance(new, TokenPair)
        again = await refreshed(house, pair.refresh_token, EVE)
        assert isinstance(again, TokenPair)
        assert again.refresh_token == new.refresh_token

    run(body)


def test_forged_and_unknown_tokens_touch_no_session(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        pair = await a_pair(house)
        for token, why in (
            ("", RefreshRejection.INVALID_TOKEN),
            ("nonsense", RefreshRejection.INVALID_TOKEN),
            (pair.refresh_token + "A", RefreshRejection.INVALID_TOKEN),
            (refresh_token(b"x" * 32, pair.session_id, 1), RefreshRejection.INVALID_TOKEN),
            (refresh_token(REFRESH_KEY, pair.session_id, 2), RefreshRejection.INVALID_TOKEN),
            # Signed by us, so there was such a session.
            (refresh_token(REFRESH_KEY, "ses_none", 1), RefreshRejection.ENDED),
            (pair.access_token, RefreshRejection.OTHER_KIND),
            ("ck_" + "0" * 26 + "_" + "0" * 52, RefreshRejection.OTHER_KIND),
        ):
            assert await refreshed(house, token, pair.device_id) is why
        assert isinstance(await refreshed(house, pair.refresh_token, pair.device_id), TokenPair)

    run(body)


def test_a_session_ends_when_idle_revoked_or_its_credentials_change(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        user = await house.registered()
        idle, revoked, changed = [await house.logged_in() for _ in range(3)]
        await house.sessions.revoke_session(user.id, revoked.session_id, CONTEXT)
        outcome = await refreshed(house, revoked.refresh_token, revoked.device_id)
        assert outcome is RefreshRejection.ENDED
        kept = await house.users_kept.get(user.id)
        assert kept is not None
        house.users_kept._users[user.id] = replace(kept, credential_version=2)
        outcome = await refreshed(house, changed.refresh_token, changed.device_id)
        assert outcome is RefreshRejection.ENDED
        house.users_kept._users[user.id] = kept
        house.clock.ms += 14 * 86_400_000
        outcome = await refreshed(house, idle.refresh_token, idle.device_id)
        assert outcome is RefreshRejection.ENDED

    run(body)
