"""Tokens that another device shows: refused or let through, written down, and held against the address."""

from __future__ import annotations

from dataclasses import replace

import pytest

from application.identity.bearer_tokens import BearerTokens
from application.identity.foreign_devices import AUDIT_INTERVAL_S, SIGHTINGS_MAX, VIOLATIONS_MAX
from application.identity.sessions import RefreshRejection, TokenPair
from application.realtime.socket_tokens import SocketTokenVerifier
from domain.audit import AuditAction, AuditEvent, AuditFilter
from domain.identity.access import Principal
from domain.identity.tokens import DeviceVerdict, Fingerprint, TokenKind, TokenRejection, judge_device
from ports.errors import DependencyUnavailable
from ports.realtime.socket_tokens import SocketIdentity, SocketRefusal
from ports.runtime import Runtime
from tests.application.identity.test_api_keys import simulated
from tests.application.identity.use_cases import CONTEXT, House, build

EVE = "device-of-eve-0001"
FOREIGN = AuditFilter(action=AuditAction.FOREIGN_DEVICE)


async def a_pair(house: House) -> TokenPair:
    await house.registered()
    return await house.logged_in()


async def written(house: House) -> list[AuditEvent]:
    await house.runtime.sleep(0.01)
    return list((await house.audit.find(FOREIGN, limit=200, cursor=None)).items)


def bearers(house: House) -> BearerTokens:
    return BearerTokens(
        tokens=house.tokens, devices=house.devices, sessions=house.sessions_kept, clock=house.clock
    )


async def shown(house: House, token: str, device_id: str | None = EVE) -> Principal | TokenRejection:
    tokens = bearers(house)
    return await tokens.authenticate(token, device_id=device_id, context=CONTEXT)


@pytest.mark.parametrize("same_device", [True, False])
@pytest.mark.parametrize("kind", list(TokenKind))
@pytest.mark.parametrize("level", list(Fingerprint))
def test_every_level_judges_as_it_is_documented(
    level: Fingerprint, kind: TokenKind, same_device: bool
) -> None:
    verdict = judge_device(level, kind, same_device=same_device)
    if same_device or kind is TokenKind.WEBSOCKET:
        assert verdict is DeviceVerdict.FINE
    else:
        assert (
            verdict
            is {
                Fingerprint.OFF: DeviceVerdict.FINE,
                Fingerprint.OBSERVE: DeviceVerdict.NOTED,
                Fingerprint.ENFORCE: DeviceVerdict.REFUSED,
            }[level]
        )


@pytest.mark.parametrize("device_id", [EVE, "x" * 64, None, "", "undefined", "x" * 65])
def test_a_token_from_elsewhere_is_refused_written_down_and_blamed_where_it_names_a_device(
    device_id: str | None,
) -> None:
    # What can be no device's is none.
    is_named = device_id in (EVE, "x" * 64)

    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        pair = await a_pair(house)
        assert await shown(house, pair.access_token, device_id) is TokenRejection.WRONG_DEVICE
        (event,) = await written(house)
        assert event.resource == f"session:{pair.session_id}"
        assert (event.actor, event.address) == (f"user:{pair.user_id}", CONTEXT.address)
        assert event.detail == {
            "outcome": "refused",
            "device": "other" if is_named else "none",
            "user_agent": "same",
            "network": "same",
        }
        blamed = [CONTEXT.address] if is_named else []
        assert house.blamed.addresses == blamed
        assert isinstance(await shown(house, pair.access_token, pair.device_id), Principal)
        assert house.blamed.addresses == blamed

    simulated(body)


@pytest.mark.parametrize(
    ("address", "network"),
    [("203.0.113.200", "same"), ("203.0.114.7", "other"), ("2001:db8::/64", "other"), ("unknown", "other")],
)
def test_what_else_differs_is_written_beside_it_and_decides_nothing(address: str, network: str) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        pair = await a_pair(house)
        tokens = bearers(house)
        context = replace(CONTEXT, address=address, user_agent="another")
        for device_id in (pair.device_id, EVE):
            shown = await tokens.authenticate(pair.access_token, device_id=device_id, context=context)
            assert isinstance(shown, Principal) == (device_id == pair.device_id)
        (event,) = await written(house)
        assert event.detail == {
            "outcome": "refused",
            "device": "other",
            "user_agent": "other",
            "network": network,
        }

    simulated(body)


def test_it_is_written_down_though_sessions_cannot_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        pair = await a_pair(house)

        async def away(_self: object, _session_id: str) -> None:
            raise DependencyUnavailable("mongo")

        monkeypatch.setattr(type(house.sessions_kept), "get", away)
        assert await shown(house, pair.access_token) is TokenRejection.WRONG_DEVICE
        assert [event.detail for event in await written(house)] == [{"outcome": "refused", "device": "other"}]

    simulated(body)


def test_observed_it_is_let_through_and_written_down_and_nobody_is_blamed() -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime, fingerprint=Fingerprint.OBSERVE)
        pair = await a_pair(house)
        assert isinstance(await shown(house, pair.access_token), Principal)
        (event,) = await written(house)
        assert event.detail["outcome"] == "noted"
        assert house.blamed.addresses == []

    simulated(body)


def test_switched_off_it_is_nobody_s_business() -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime, fingerprint=Fingerprint.OFF)
        pair = await a_pair(house)
        assert isinstance(await shown(house, pair.access_token), Principal)
        assert await written(house) == []

    simulated(body)


def test_a_refresh_from_elsewhere_is_seen_as_well() -> None:
    async def body(runtime: Runtime) -> None:
        for level, blamed, outcome in (
            (Fingerprint.ENFORCE, [CONTEXT.address], ["refused"]),
            (Fingerprint.OBSERVE, [], ["noted"]),
            (Fingerprint.OFF, [], []),
        ):
            house = build(runtime, fingerprint=level)
            pair = await a_pair(house)
            again = await house.sessions.refresh(token=pair.refresh_token, device_id=EVE, context=CONTEXT)
            assert (again is RefreshRejection.OTHER_DEVICE) == (level is Fingerprint.ENFORCE)
            assert [event.detail["outcome"] for event in await written(house)] == outcome
            assert house.blamed.addresses == blamed

    simulated(body)


def test_a_socket_from_elsewhere_is_refused_and_written_down() -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        pair = await a_pair(house)
        verifier = SocketTokenVerifier(
            tokens=house.tokens,
            devices=house.devices,
            users=house.users_kept,
            sessions=house.sessions_kept,
            clock=house.clock,
        )
        verify = verifier.verify
        assert await verify(pair.access_token, device_id=EVE) is SocketRefusal.WRONG_DEVICE
        assert await verify(pair.access_token, device_id=None) is SocketRefusal.WRONG_DEVICE
        assert isinstance(await verify(pair.access_token, device_id=pair.device_id), SocketIdentity)
        assert await verify(pair.refresh_token, device_id=pair.device_id) is SocketRefusal.OTHER_KIND
        assert await verify("made-up", device_id=pair.device_id) is SocketRefusal.NOT_VALID
        assert {event.detail["device"] for event in await written(house)} == {"other", "none"}
        # Where a frame comes from is not known here: nobody is blamed for it.
        assert house.blamed.addresses == []

    simulated(body)


def test_a_client_that_never_names_a_device_is_written_down_once_and_never_blamed() -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        pair = await a_pair(house)
        for _ in range(100):
            await shown(house, pair.access_token, None)
        for _ in range(5):
            refused = await house.sessions.refresh(token=pair.refresh_token, device_id=None, context=CONTEXT)
            assert refused is RefreshRejection.NO_DEVICE
        assert len(await written(house)) == 1
        assert house.blamed.addresses == []
        # It hides nobody who names another one.
        await shown(house, pair.access_token, EVE)
        assert house.blamed.addresses == [CONTEXT.address]
        assert len(await written(house)) == 2

    simulated(body)


def test_who_shows_one_token_all_day_fills_neither_the_log_nor_the_limiter() -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        pair = await a_pair(house)
        for _ in range(100):
            await shown(house, pair.access_token)
        assert len(await written(house)) == 1
        assert len(house.blamed.addresses) == VIOLATIONS_MAX
        await runtime.sleep(AUDIT_INTERVAL_S)
        await shown(house, pair.access_token)
        assert len(await written(house)) == 2
        assert len(house.blamed.addresses) == VIOLATIONS_MAX + 1

    simulated(body)


def test_what_is_remembered_of_devices_is_bounded() -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        for number in range(SIGHTINGS_MAX + 5):
            context = replace(CONTEXT, address=f"2001:db8:{number:x}::")
            await house.devices.report(
                DeviceVerdict.NOTED,
                user_id="usr_1",
                session_id="ses_1",
                device_id=EVE,
                context=context,
            )
        assert len(house.devices._sightings) == SIGHTINGS_MAX

    simulated(body)
