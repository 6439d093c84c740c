"""Registering, and what is refused."""

from __future__ import annotations

import pytest

from application.identity.users import InvalidUser, Taken
from domain.audit import AuditAction
from domain.identity.users import Role, User, UserProblem
from ports.runtime import Runtime
from tests.application.identity.use_cases import CONTEXT, PASSWORD, build
from tests.conformance.runtimes import Driver, run

__all__ = ["run"]


def test_a_registered_user_is_plain_and_on_record(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        user = await house.registered("Ada")
        assert (user.username, user.email) == ("Ada", "Ada@example.com")
        assert user.roles == {Role.USER}
        assert PASSWORD not in user.password_hash
        assert user.password_hash not in repr(user)
        assert await house.users.profile(user.id) == user
        assert await house.users.profile("usr_none") is None
        assert await house.users.profile("not an id") is None
        assert await house.actions() == [AuditAction.USER_REGISTERED]

    run(body)


def test_a_taken_name_or_address_is_told(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        await house.registered("ada")

        async def again(username: str, email: str) -> User | InvalidUser | Taken:
            return await house.users.register(
                username=username, email=email, password=PASSWORD, context=CONTEXT
            )

        assert await again("ADA", "other@example.com") is Taken.USERNAME
        assert await again("other", "ADA@example.com") is Taken.EMAIL
        assert await again("ada", "ada@example.com") is Taken.USERNAME

    run(body)


def test_every_bad_input_is_told_at_once_and_nothing_is_kept(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        refused = await house.users.register(username="a", email="b", password="c", context=CONTEXT)
        assert refused == InvalidUser((UserProblem.USERNAME, UserProblem.EMAIL, UserProblem.PASSWORD_LENGTH))
        assert await house.actions() == []

    run(body)


@pytest.mark.parametrize("role", list(Role))
def test_whoever_the_operator_makes_has_the_role_given(run: Driver, role: Role) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        user = await house.users.create(
            username="root",
            email="root@example.com",
            password=PASSWORD,
            role=role,
            context=CONTEXT,
        )
        assert isinstance(user, User)
        assert user.roles == {Role.USER, role}
        assert await house.actions() == [AuditAction.USER_CREATED]

    run(body)


@pytest.mark.parametrize("password", ["x" * 257, "1234567\ud800", "1234567\0"])
def test_a_password_that_cannot_be_hashed_is_refused_before_it_is(run: Driver, password: str) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        refused = await house.users.register(
            username="ada", email="ada@example.com", password=password, context=CONTEXT
        )
        assert isinstance(refused, InvalidUser)

    run(body)
