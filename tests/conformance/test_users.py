"""What every store of users promises."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from domain.audit import AuditAction
from domain.users import uniqueness_key
from ports.users import UserAdded
from tests.conformance.identity import OnStores, Stores, a_user, an_event, identity

__all__ = ["identity"]


def test_a_user_is_read_back_whole_by_id_name_and_address(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = a_user("Ada.L", email="Ada@Example.com")
        assert await stores.users.add(user, an_event()) is UserAdded.ADDED
        assert await stores.users.get(user.id) == user
        assert await stores.users.find_by_username(uniqueness_key("ADA.l")) == user
        assert await stores.users.find_by_email(uniqueness_key("ADA@EXAMPLE.COM")) == user
        assert await stores.users.get("usr_nobody") is None
        assert await stores.users.find_by_username("nobody") is None
        assert await stores.users.find_by_email("nobody@example.com") is None

    identity(body)


def test_a_name_is_taken_in_any_case_and_before_the_address(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        await stores.users.add(a_user("ada", email="ada@example.com"), an_event())
        other_address = a_user("ADA", email="other@example.com")
        assert await stores.users.add(other_address, an_event()) is UserAdded.USERNAME_TAKEN
        other_name = a_user("other", email="ADA@example.com")
        assert await stores.users.add(other_name, an_event()) is UserAdded.EMAIL_TAKEN
        both = a_user("Ada", email="Ada@example.com")
        assert await stores.users.add(both, an_event()) is UserAdded.USERNAME_TAKEN

    identity(body)


def test_a_refused_user_leaves_no_audit_event(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        await stores.users.add(a_user("ada"), an_event())
        await stores.users.add(a_user("ada"), an_event(AuditAction.USER_CREATED))
        assert await stores.actions() == [AuditAction.USER_REGISTERED]

    identity(body)


def test_of_many_who_want_one_name_at_once_one_gets_it(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        async def add(number: int) -> UserAdded:
            return await stores.users.add(a_user("ada", email=f"a{number}@example.com"), an_event())

        tasks = [stores.runtime.start(partial(add, number), name=f"add-{number}") for number in range(8)]
        outcomes = [await task.wait() for task in tasks]
        assert sorted(outcome.name for outcome in outcomes) == ["ADDED"] + ["USERNAME_TAKEN"] * 7
        assert len(await stores.actions()) == 1

    identity(body)


def test_a_hash_is_replaced_only_while_it_is_the_expected_one(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = a_user()
        await stores.users.add(user, an_event())
        assert await stores.users.replace_password_hash(
            user.id, expected="$argon2id$one", replacement="$argon2id$two"
        )
        assert not await stores.users.replace_password_hash(
            user.id, expected="$argon2id$one", replacement="$argon2id$three"
        )
        assert await stores.users.get(user.id) == replace(user, password_hash="$argon2id$two")

    identity(body)
