"""Logging in, being believed, and logging out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adapters.crypto.argon2 import Argon2PasswordHasher
from adapters.runtime.system import SystemEntropy
from application.identity.revocations import REVOCATION_MS
from application.identity.sessions import LoginRejection
from application.identity.tokens import ForeignToken, VerifiedToken
from domain.audit import AuditAction, AuditFilter
from domain.identity.sessions import is_device_id
from domain.identity.tokens import DeviceVerdict, Fingerprint, TokenKind, TokenRejection
from domain.identity.users import Role
from ports.runtime import Runtime
from tests.application.identity.use_cases import CONTEXT, PASSWORD, START_MS, House, build
from tests.conformance.runtimes import Driver, run

__all__ = ["run"]


async def believed(house: House, token: str, device_id: str | None) -> VerifiedToken:
    verified = house.tokens.verify_access(token, device_id=device_id)
    assert isinstance(verified, VerifiedToken)
    return verified


def test_a_login_by_name_or_address_is_believed_on_its_device(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        user = await house.registered()
        for login in ("ada", "ADA", "ada@example.com", "Ada@Example.com"):
            pair = await house.logged_in(login)
            assert pair.expires_in_s == 300
            assert is_device_id(pair.device_id)
            verified = await believed(house, pair.access_token, pair.device_id)
            principal = verified.principal
            assert (principal.id, principal.user_id, principal.session_id) == (
                user.id,
                user.id,
                pair.session_id,
            )
            assert principal.roles == {Role.USER}
            assert verified.expires_ms == START_MS + 300_000
            assert pair.access_token not in repr(pair)
            assert pair.refresh_token not in repr(pair)

    run(body)


def test_an_unknown_user_and_a_wrong_password_look_and_cost_the_same(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        await house.registered()
        attempts = [
            ("ada", "wrong password"), ("nobody", PASSWORD), ("nobody@example.com", PASSWORD), ("ada", ""),
            ("ada", "x" * 10_000), ("ada", PASSWORD + "\ud800"), ("\ud800", PASSWORD),
            ("x" * 10_000, PASSWORD), ("", ""),
        ]  # fmt: skip
        for number, (login, password) in enumerate(attempts, start=1):
            outcome = await house.sessions.login(
                login=login, password=password, device_id=None, context=CONTEXT
            )
            assert outcome is LoginRejection.INVALID_CREDENTIALS
            assert house.passwords.checked == number
        assert await house.actions() == [AuditAction.USER_REGISTERED]

    run(body)


@pytest.mark.parametrize("device_id", ["short", "x" * 65, "sixteen letters!", "", "device-01234567\n"])
def test_a_device_id_out_of_form_is_refused_before_anything_else(run: Driver, device_id: str) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        outcome = await house.sessions.login(
            login="ada", password=PASSWORD, device_id=device_id, context=CONTEXT
        )
        assert outcome is LoginRejection.INVALID_DEVICE_ID
        assert house.passwords.checked == 0

    run(body)


def test_the_event_of_a_login_names_the_user(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        user = await house.registered()
        await house.logged_in()
        page = await house.audit.find(AuditFilter(actor=f"user:{user.id}"), limit=5, cursor=None)
        assert [event.action for event in page.items] == [AuditAction.SESSION_OPENED]
        assert page.items[0].address == CONTEXT.address

    run(body)


def test_a_hash_of_another_cost_is_renewed_at_login(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        user = await house.registered()
        dearer = Argon2PasswordHasher(runtime=runtime, entropy=SystemEntropy(), memory_kib=8, passes=2)
        old = await dearer.hash(PASSWORD.encode())
        assert await house.users_kept.replace_password_hash(
            user.id, expected=user.password_hash, replacement=old
        )
        await house.logged_in()
        kept = await house.users_kept.get(user.id)
        assert kept is not None
        assert not house.passwords.needs_rehash(kept.password_hash)
        assert await house.passwords.verify(PASSWORD.encode(), kept.password_hash)

    run(body)


def test_a_token_counts_on_its_device_and_until_its_end(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        await house.registered()
        pair = await house.logged_in(device_id="device-of-ada-0001")
        check = house.tokens.verify_access
        assert isinstance(check(pair.access_token, device_id="device-of-eve-0001"), ForeignToken)
        assert isinstance(check(pair.access_token, device_id=None), ForeignToken)
        assert check("nonsense", device_id=None) is TokenRejection.BAD_SIGNATURE
        house.clock.ms += 299_999
        await believed(house, pair.access_token, "device-of-ada-0001")
        house.clock.ms += 1
        assert check(pair.access_token, device_id="device-of-ada-0001") is TokenRejection.EXPIRED

    run(body)


@pytest.mark.parametrize("level", [Fingerprint.OFF, Fingerprint.OBSERVE])
def test_without_enforcement_another_device_is_seen_and_let_through(run: Driver, level: Fingerprint) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime, fingerprint=level)
        await house.registered()
        pair = await house.logged_in()
        verdict = DeviceVerdict.NOTED if level is Fingerprint.OBSERVE else DeviceVerdict.FINE
        assert (await believed(house, pair.access_token, "device-of-eve-0001")).device is verdict
        assert (await believed(house, pair.access_token, pair.device_id)).device is DeviceVerdict.FINE

    run(body)


def test_a_websocket_token_opens_sockets_for_a_minute_and_nothing_else(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        user = await house.registered()
        pair = await house.logged_in()
        principal = (await believed(house, pair.access_token, pair.device_id)).principal
        issued = await house.sessions.websocket_token(principal)
        assert issued is not None
        assert issued.expires_in_s == 60
        verified = house.tokens.verify_socket(issued.text, device_id=None)
        assert isinstance(verified, VerifiedToken)
        assert (verified.principal.user_id, verified.principal.session_id) == (user.id, pair.session_id)
        assert verified.kind is TokenKind.WEBSOCKET
        assert house.tokens.verify_access(issued.text, device_id=None) is TokenRejection.WRONG_TYPE
        by_access = house.tokens.verify_socket(pair.access_token, device_id=pair.device_id)
        assert isinstance(by_access, VerifiedToken)
        stolen = house.tokens.verify_socket(pair.access_token, device_id=None)
        assert isinstance(stolen, ForeignToken)
        house.clock.ms += 60_000
        assert house.tokens.verify_socket(issued.text, device_id=None) is TokenRejection.EXPIRED

    run(body)


def test_a_logout_lasts_and_is_told_to_the_limiter(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        await house.registered()
        pair = await house.logged_in()
        principal = (await believed(house, pair.access_token, pair.device_id)).principal
        await house.sessions.logout(principal, CONTEXT)
        await house.sessions.logout(principal, CONTEXT)
        assert house.revocations.told == [(pair.session_id, REVOCATION_MS)] * 2
        session = await house.sessions_kept.get(pair.session_id)
        assert session is not None
        assert session.revoked_ms == START_MS
        assert (await house.actions()).count(AuditAction.SESSION_ENDED) == 1
        assert await house.sessions.websocket_token(principal) is None

    run(body)


def test_a_logout_that_the_limiter_missed_is_done_and_can_be_repeated(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        await house.registered()
        pair = await house.logged_in()
        principal = (await believed(house, pair.access_token, pair.device_id)).principal
        house.revocations.away = True
        await house.sessions.logout(principal, CONTEXT)
        session = await house.sessions_kept.get(pair.session_id)
        assert session is not None
        assert session.revoked_ms is not None
        house.revocations.away = False
        await house.sessions.logout(principal, CONTEXT)
        assert house.revocations.told == [(pair.session_id, REVOCATION_MS)]

    run(body)


def test_users_see_and_end_their_own_sessions_only(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        ada, bob = await house.registered("ada"), await house.registered("bob")
        first = await house.logged_in("ada")
        house.clock.ms += 1
        second = await house.logged_in("ada")
        listed = await house.sessions.list_sessions(ada.id, limit=10)
        assert [session.id for session in listed] == [second.session_id, first.session_id]
        assert not await house.sessions.revoke_session(bob.id, first.session_id, CONTEXT)
        assert not await house.sessions.revoke_session(ada.id, "ses_none", CONTEXT)
        assert not await house.sessions.revoke_session(ada.id, "not an id", CONTEXT)
        assert house.revocations.told == []
        assert await house.sessions.revoke_session(ada.id, first.session_id, CONTEXT)
        listed = await house.sessions.list_sessions(ada.id, limit=10)
        assert [session.id for session in listed] == [second.session_id]

    run(body)


def test_a_login_that_races_a_change_of_credentials_loses(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        user = await house.registered()
        find = house.users_kept.find_by_username

        async def find_then_change(key: str) -> object:
            found = await find(key)
            house.users_kept._users[user.id] = replace(user, credential_version=2)
            return found

        house.users_kept.find_by_username = find_then_change  # type: ignore[method-assign,assignment]  # the race
        outcome = await house.sessions.login(login="ada", password=PASSWORD, device_id=None, context=CONTEXT)
        assert outcome is LoginRejection.INVALID_CREDENTIALS

    run(body)
