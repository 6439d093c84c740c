"""Who may do what, row by row."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.identity.access import (
    ADMIN,
    AUDIT,
    PUBLIC,
    USER,
    Permission,
    Principal,
    PrincipalKind,
    any_scope,
    may,
    scope_or_owner,
)
from domain.identity.api_keys import Scope
from domain.identity.users import Role

READ, WRITE = any_scope(Scope.CREDITS_READ), any_scope(Scope.CREDITS_WRITE)
READ_OR_OWN = scope_or_owner(Scope.CREDITS_READ)
ROUTES = {
    "public": PUBLIC,
    "user": USER,
    "read": READ,
    "write": WRITE,
    "read_or_own": READ_OR_OWN,
    "audit": AUDIT,
    "admin": ADMIN,
}


def user(*roles: Role) -> Principal:
    return Principal(
        kind=PrincipalKind.USER, id="usr_1", roles=frozenset(roles), user_id="usr_1", session_id="s"
    )


def key(*scopes: Scope) -> Principal:
    return Principal(kind=PrincipalKind.API_KEY, id="key_1", scopes=frozenset(scopes))


@pytest.mark.parametrize(
    ("principal", "allowed"),
    [
        (None, {"public"}),
        (user(Role.USER), {"public", "user"}),
        (user(Role.USER, Role.ANALYST), {"public", "user", "read", "read_or_own", "audit"}),
        (user(Role.ADMIN), set(ROUTES)),
        (key(), {"public"}),
        (key(Scope.CREDITS_READ), {"public", "read", "read_or_own"}),
        (key(Scope.CREDITS_WRITE), {"public", "write"}),
        (key(Scope.USERS_READ, Scope.USERS_WRITE, Scope.REALTIME_PUBLISH), {"public"}),
        (key(Scope.ADMIN), set(ROUTES) - {"user"}),
    ],
)
def test_each_caller_may_use_exactly_these_routes(principal: Principal | None, allowed: set[str]) -> None:
    assert {name for name, permission in ROUTES.items() if may(principal, permission)} == allowed


def test_an_owner_reads_what_is_their_own_and_nothing_else() -> None:
    assert may(user(Role.USER), READ_OR_OWN, "usr_1")
    assert not may(user(Role.USER), READ_OR_OWN, "usr_2")
    assert not may(user(Role.USER), WRITE, "usr_1")
    assert not may(user(Role.USER), READ, "usr_1")


def test_a_key_owns_nothing_even_under_a_users_id() -> None:
    impostor = Principal(kind=PrincipalKind.API_KEY, id="usr_1")
    assert not may(impostor, READ_OR_OWN, "usr_1")
    assert not may(impostor, READ_OR_OWN, None)


def test_a_person_acts_in_the_main_book() -> None:
    assert user(Role.ADMIN).book == "main"


def test_the_audit_log_tells_people_from_keys() -> None:
    assert user().actor == "user:usr_1"
    assert key().actor == "api_key:key_1"


def test_only_an_owners_route_lets_a_user_through_to_be_asked_again() -> None:
    assert {name for name, permission in ROUTES.items() if permission.owner_may} == {"read_or_own"}


SCOPES = st.frozensets(st.sampled_from(sorted(Scope, key=str)))


@given(held=SCOPES, asked=SCOPES)
def test_one_of_the_scopes_is_enough_and_admin_is_every_scope(
    held: frozenset[Scope], asked: frozenset[Scope]
) -> None:
    permission: Permission = any_scope(*asked)
    expected = bool(held & asked) or (Scope.ADMIN in held and bool(asked))
    assert may(key(*held), permission) is expected
