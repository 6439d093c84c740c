"""Guessing is delayed by name; the owner on a known device is not."""

from __future__ import annotations

from dataclasses import replace

from application.identity.login_throttle import LoginDelayed
from application.identity.sessions import LoginRejection, TokenPair
from domain.identity.sessions import SessionPolicy
from ports.runtime import Runtime
from tests.application.identity.use_cases import CONTEXT, PASSWORD, House, build
from tests.conformance.runtimes import Driver, run

__all__ = ["run"]

Outcome = TokenPair | LoginRejection | LoginDelayed
DEVICE = "device-of-ada-0001"


async def attempt(
    house: House, password: str = "wrong password", *, name: str = "ada", device_id: str | None = None
) -> Outcome:
    return await house.sessions.login(login=name, password=password, device_id=device_id, context=CONTEXT)


async def attacked(house: House, name: str = "ada") -> None:
    """Until the gate closes."""
    for _ in range(50):
        if isinstance(await attempt(house, name=name), LoginDelayed):
            return
    raise AssertionError("nobody stopped the guessing")


def test_a_known_device_logs_in_while_the_name_is_attacked(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime, logins_per_minute=3)
        await house.registered()
        await house.logged_in(device_id=DEVICE)
        await attacked(house)
        for _ in range(3):
            assert isinstance(await attempt(house, PASSWORD, device_id=DEVICE), TokenPair)
        # Neither its address nor its name makes it known: only having logged in here before.
        assert isinstance(await attempt(house, PASSWORD), LoginDelayed)
        assert isinstance(await attempt(house, PASSWORD, device_id="device-of-eve-0001"), LoginDelayed)
        # What the owner does meanwhile gives the attacker nothing back.
        assert isinstance(await attempt(house), LoginDelayed)

    run(body)


def test_a_device_that_logged_out_is_known_still(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime, logins_per_minute=3, policy=SessionPolicy(per_user_max=1))
        user = await house.registered()
        await house.logged_in(device_id=DEVICE)
        await house.sessions.revoke_sessions(user.id, CONTEXT)
        await attacked(house)
        assert isinstance(await attempt(house, PASSWORD, device_id=DEVICE), TokenPair)

    run(body)


def test_a_device_is_known_to_its_own_account_only(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime, logins_per_minute=3)
        await house.registered("ada")
        await house.registered("eve")
        await house.logged_in("eve", device_id=DEVICE)
        await attacked(house)
        assert isinstance(await attempt(house, PASSWORD, device_id=DEVICE), LoginDelayed)

    run(body)


def test_a_known_device_guesses_no_faster_than_its_own_window(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime, logins_per_minute=3)
        await house.registered()
        await house.logged_in(device_id=DEVICE)
        outcomes = [await attempt(house, device_id=DEVICE) for _ in range(5)]
        assert outcomes[:3] == [LoginRejection.INVALID_CREDENTIALS] * 3
        assert all(isinstance(outcome, LoginDelayed) for outcome in outcomes[3:])
        # And holds up nobody else.
        assert isinstance(await attempt(house, PASSWORD), TokenPair)

    run(body)


def test_a_delay_grows_ends_and_is_told_exactly(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime, logins_per_minute=3)
        await house.registered()
        waits = []
        for _ in range(8):
            await attacked(house)
            delayed = await attempt(house, PASSWORD)
            assert isinstance(delayed, LoginDelayed)
            checked = house.passwords.checked
            house.clock.ms += delayed.retry_after_ms - 1
            assert isinstance(await attempt(house), LoginDelayed)
            assert house.passwords.checked == checked
            house.clock.ms += 1
            waits.append(delayed.retry_after_ms)
        assert waits[0] < waits[3] < waits[-1] == max(waits) == 900_000
        assert isinstance(await attempt(house, PASSWORD), TokenPair)
        # The owner has logged in: what was wrong before is forgotten.
        assert await attempt(house) is LoginRejection.INVALID_CREDENTIALS

    run(body)


def test_an_unknown_name_is_delayed_like_a_known_one(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime, logins_per_minute=3)
        await house.registered()
        seen = {}
        for name in ("ada", "nobody"):
            outcomes = []
            for _ in range(6):
                outcome = await attempt(house, name=name)
                outcomes.append(outcome)
            seen[name] = outcomes
        assert seen["ada"] == seen["nobody"]

    run(body)


def test_many_users_attacked_at_once_are_delayed_one_by_one(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime, logins_per_minute=3)
        for name in ("ada", "bob"):
            await house.registered(name)
        await attacked(house, "ada")
        assert isinstance(await attempt(house, PASSWORD, name="bob"), TokenPair)

    run(body)


def test_a_forgotten_hash_of_devices_makes_nobody_known(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime, logins_per_minute=3)
        user = await house.registered()
        await house.logged_in(device_id=DEVICE)
        kept = await house.users_kept.get(user.id)
        assert kept is not None
        house.users_kept._users[user.id] = replace(kept, known_devices=())
        await attacked(house)
        assert isinstance(await attempt(house, PASSWORD, device_id=DEVICE), LoginDelayed)

    run(body)
