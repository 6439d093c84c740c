"""Whatever ends a session or a key leaves an event of it, which says why and by whom."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from application.identity.api_keys import CreatedApiKey
from application.identity.sessions import RefreshRejection, TokenPair
from domain.audit import AuditAction, AuditEvent, AuditFilter
from domain.identity.access import Principal, PrincipalKind
from domain.identity.api_keys import Scope
from domain.identity.sessions import EndReason, SessionPolicy
from domain.identity.users import Role, User
from ports.runtime import Runtime
from tests.application.identity.use_cases import CONTEXT, PASSWORD, House, build
from tests.conformance.runtimes import Driver, run

__all__ = ["run"]

BY = replace(CONTEXT, actor="user:usr_somebody", request_id="req-2", address="198.51.100.7")


async def logout(house: House, user: User, pair: TokenPair) -> None:
    principal = Principal(kind=PrincipalKind.USER, id=user.id, session_id=pair.session_id)
    await house.sessions.logout(principal, BY)


async def revoke(house: House, user: User, pair: TokenPair) -> None:
    assert await house.sessions.revoke_session(user.id, pair.session_id, BY)


async def revoke_all(house: House, user: User, _pair: TokenPair) -> None:
    assert await house.sessions.revoke_sessions(user.id, BY) == 1


async def log_in_once_more(house: House, user: User, _pair: TokenPair) -> None:
    house.clock.ms += 1
    login = house.sessions.login
    pair = await login(login=user.username, password=PASSWORD, device_id=None, context=BY)
    assert isinstance(pair, TokenPair)


async def reuse(house: House, _user: User, pair: TokenPair) -> None:
    refresh = house.sessions.refresh
    await refresh(token=pair.refresh_token, device_id=pair.device_id, context=BY)
    refused = await refresh(token=pair.refresh_token, device_id="device-of-eve-0001", context=BY)
    assert refused is RefreshRejection.TOKEN_REUSED


async def change_password(house: House, user: User, _pair: TokenPair) -> None:
    changed = house.users.change_password(
        user.id, current=PASSWORD, new="staple battery horse", device_id=None, context=BY
    )
    assert await changed is None


async def change_roles(house: House, user: User, _pair: TokenPair) -> None:
    assert await house.users.change_roles(user.id, frozenset({Role.ANALYST}), BY) is not None


async def remove(house: House, user: User, _pair: TokenPair) -> None:
    assert await house.users.remove(user.id, BY)


WAYS: dict[EndReason, Callable[[House, User, TokenPair], Awaitable[None]]] = {
    EndReason.LOGOUT: logout,
    EndReason.REVOKED: revoke,
    EndReason.ALL_REVOKED: revoke_all,
    EndReason.TOO_MANY_SESSIONS: log_in_once_more,
    EndReason.TOKEN_REUSED: reuse,
    EndReason.PASSWORD_CHANGED: change_password,
    EndReason.ROLES_CHANGED: change_roles,
    EndReason.USER_DELETED: remove,
}


async def events(house: House, action: AuditAction) -> list[AuditEvent]:
    return list((await house.audit.find(AuditFilter(action=action), limit=200, cursor=None)).items)


@pytest.mark.parametrize("reason", list(EndReason))
def test_each_way_a_session_ends_leaves_one_event_of_it(run: Driver, reason: EndReason) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime, policy=SessionPolicy(per_user_max=1))
        user = await house.registered()
        pair = await house.logged_in()
        await WAYS[reason](house, user, pair)
        kept = await house.sessions_kept.get(pair.session_id)
        assert kept is not None
        (event,) = await events(house, AuditAction.SESSION_ENDED)
        assert event.resource == f"session:{pair.session_id}"
        assert event.detail == {"reason": reason.value}
        assert event.at_ms == kept.revoked_ms == house.clock.ms
        # A login makes room in its user's own name: the request that brings it has no other.
        actor = f"user:{user.id}" if reason is EndReason.TOO_MANY_SESSIONS else BY.actor
        assert (event.actor, event.address, event.request_id) == (actor, BY.address, BY.request_id)

    run(body)


@pytest.mark.parametrize("reason", [EndReason.ROLES_CHANGED, EndReason.USER_DELETED])
def test_each_key_that_ends_with_its_maker_leaves_an_event_of_its_own(run: Driver, reason: EndReason) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        user = await house.registered()
        assert await house.users.change_roles(user.id, frozenset({Role.ADMIN}), CONTEXT) is not None
        keys = []
        for sponsor_id in (user.id, user.id, None):
            made = await house.api_keys.create(
                name="k", scopes=frozenset({Scope.CREDITS_READ}), sponsor_id=sponsor_id, context=CONTEXT
            )
            assert isinstance(made, CreatedApiKey)
            keys.append(made.api_key.id)
        await WAYS[reason](house, user, await house.logged_in())
        revoked = await events(house, AuditAction.API_KEY_REVOKED)
        assert {event.resource for event in revoked} == {f"api_key:{key_id}" for key_id in keys[:2]}
        assert all(event.detail == {"reason": reason.value} for event in revoked)
        assert {(event.actor, event.request_id) for event in revoked} == {(BY.actor, BY.request_id)}

    run(body)
