"""What every store of users promises."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from domain.audit import AuditAction
from domain.identity.users import User, uniqueness_key
from ports.identity.users import RenameRefused, UserAdded
from tests.conformance.identity import NOW_MS, OnStores, Stores, a_user, an_event, identity

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


def test_a_name_or_an_address_is_changed_with_its_event(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = a_user("ada")
        await stores.users.add(user, an_event())

        async def rename(username: str | None = None, email: str | None = None) -> User | RenameRefused:
            event = an_event(AuditAction.USER_RENAMED)
            return await stores.users.rename(user.id, username=username, email=email, event=event)

        # One's own name in another case is not somebody else's.
        assert await rename(username="ADA") == replace(user, username="ADA")
        assert await rename(username="Grace") == replace(user, username="Grace")
        renamed = replace(user, username="Grace", email="Grace@Navy.example")
        assert await rename(email="Grace@Navy.example") == renamed
        assert await stores.users.get(user.id) == renamed
        assert await stores.users.find_by_username("grace") == renamed
        assert await stores.users.find_by_email("grace@navy.example") == renamed
        assert await stores.users.find_by_username("ada") is None
        assert await stores.users.find_by_email("ada@example.com") is None
        assert await stores.users.add(a_user("ada"), an_event()) is UserAdded.ADDED
        assert (await stores.actions()).count(AuditAction.USER_RENAMED) == 3

    identity(body)


def test_of_two_changes_at_once_the_later_tells_and_remembers_both(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        user = a_user("ada")
        await stores.users.add(user, an_event())

        async def rename(username: str | None, email: str | None) -> tuple[User | RenameRefused, list[User]]:
            seen: list[User] = []
            event = an_event(AuditAction.USER_RENAMED)
            renamed = await stores.users.rename(
                user.id, username=username, email=email, event=event, answer=seen.append
            )
            return renamed, seen

        changes = (("grace", None), (None, "grace@navy.example"))
        tasks = [stores.runtime.start(partial(rename, *names), name="rename") for names in changes]
        told = [await task.wait() for task in tasks]
        assert [seen[-1] for _, seen in told] == [renamed for renamed, _ in told]
        kept = await stores.users.get(user.id)
        assert kept == replace(user, username="grace", email="grace@navy.example")
        assert [renamed for renamed, _ in told].count(kept) == 1

    identity(body)


def test_a_name_of_somebody_else_changes_nothing(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        ada = a_user("ada")
        await stores.users.add(ada, an_event())
        await stores.users.add(a_user("bob"), an_event())

        async def rename(user_id: str, **names: str) -> User | RenameRefused:
            return await stores.users.rename(
                user_id,
                username=names.get("username"),
                email=names.get("email"),
                event=an_event(AuditAction.USER_RENAMED),
            )

        assert await rename(ada.id, username="BOB", email="new@example.com") is RenameRefused.USERNAME_TAKEN
        assert await rename(ada.id, username="new", email="BOB@example.com") is RenameRefused.EMAIL_TAKEN
        assert await rename(ada.id, username="bob", email="bob@example.com") is RenameRefused.USERNAME_TAKEN
        assert await rename(ada.id, email="bob@example.com") is RenameRefused.EMAIL_TAKEN
        assert await rename(ada.id, username="ADA", email="bob@example.com") is RenameRefused.EMAIL_TAKEN
        assert await rename("usr_none", username="new") is RenameRefused.GONE
        assert await stores.users.get(ada.id) == ada
        assert AuditAction.USER_RENAMED not in await stores.actions()

    identity(body)


def test_users_are_listed_newest_first_page_by_page(identity: OnStores) -> None:
    async def body(stores: Stores) -> None:
        users = [a_user(f"user{at}", now_ms=NOW_MS + at) for at in range(5)]
        for user in users:
            await stores.users.add(user, an_event())
        seen: list[User] = []
        cursor = None
        while True:
            page = await stores.users.list_page(limit=2, cursor=cursor)
            seen += page.items
            cursor = page.next_cursor
            if cursor is None:
                break
        assert seen == users[::-1]
        assert (await stores.users.list_page(limit=5, cursor=None)).next_cursor is None

    identity(body)
