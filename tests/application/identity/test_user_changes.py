"""Another name, another password, and leaving."""

from __future__ import annotations

import pytest

from application.identity.api_keys import CACHE_AGE_MS_MAX, CreatedApiKey
from application.identity.revocations import REVOCATION_MS
from application.identity.sessions import LoginRejection, TokenPair
from application.identity.users import InvalidUser, PasswordDelayed, PasswordRejection, Taken
from domain.audit import AuditAction, AuditFilter
from domain.identity.api_keys import ApiKeyRejection, Scope
from domain.identity.users import Role, User, UserProblem
from ports.runtime import Runtime
from tests.application.identity.test_api_keys import unasked
from tests.application.identity.use_cases import CONTEXT, PASSWORD, START_MS, House, build
from tests.conformance.runtimes import Driver, run

__all__ = ["run"]

NEW = "staple battery horse"


async def changed(
    house: House, user: User, *, current: str = PASSWORD, new: str = NEW, device_id: str | None = None
) -> InvalidUser | PasswordRejection | PasswordDelayed | None:
    return await house.users.change_password(
        user.id, current=current, new=new, device_id=device_id, context=CONTEXT
    )


async def login(house: House, password: str, *, name: str = "ada", device_id: str | None = None) -> object:
    return await house.sessions.login(login=name, password=password, device_id=device_id, context=CONTEXT)


def test_another_password_ends_every_session_and_is_the_only_one_then(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        user = await house.registered()
        pairs = [await house.logged_in() for _ in range(2)]
        assert await changed(house, user) is None
        told = dict(house.revocations.told)
        assert told == {pair.session_id: REVOCATION_MS for pair in pairs}
        assert await house.sessions.list_sessions(user.id, limit=9) == ()
        assert await login(house, PASSWORD) is LoginRejection.INVALID_CREDENTIALS
        assert isinstance(await login(house, NEW), TokenPair)
        assert (await house.actions()).count(AuditAction.PASSWORD_CHANGED) == 1

    run(body)


def test_a_wrong_current_password_changes_nothing(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        user = await house.registered()
        await house.logged_in()
        for wrong in ("not the password", "", "x" * 5_000, PASSWORD + "\0", "\ud800" * 9):
            assert await changed(house, user, current=wrong) is PasswordRejection.WRONG_PASSWORD
        assert house.revocations.told == []
        assert await house.users_kept.get(user.id) is not None
        assert isinstance(await login(house, PASSWORD), TokenPair)

    run(body)


@pytest.mark.parametrize(
    ("new", "problem"),
    [
        ("short", UserProblem.PASSWORD_LENGTH),
        ("x" * 257, UserProblem.PASSWORD_LENGTH),
        ("1234567\0", UserProblem.PASSWORD_CHARACTERS),
        ("1234567\ud800", UserProblem.PASSWORD_CHARACTERS),
        ("PassWord1", UserProblem.PASSWORD_COMMON),
        ("Ada.Lovelace", UserProblem.PASSWORD_NAME),
        ("ADA.LOVELACE@example.com", UserProblem.PASSWORD_NAME),
    ],
)
def test_a_new_password_obeys_the_rules_of_the_first(run: Driver, new: str, problem: UserProblem) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        user = await house.registered("ada.lovelace")
        assert await changed(house, user, new=new) == InvalidUser((problem,))
        assert AuditAction.PASSWORD_CHANGED not in await house.actions()

    run(body)


def test_a_stolen_token_guesses_at_the_current_password_no_faster_than_a_login(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime, logins_per_minute=2)
        user = await house.registered()
        for _ in range(2):
            assert await changed(house, user, current="wrong password") is PasswordRejection.WRONG_PASSWORD
        checked = house.passwords.checked
        delayed = await changed(house, user)
        assert isinstance(delayed, PasswordDelayed)
        assert delayed.retry_after_ms > 0
        assert house.passwords.checked == checked
        # Those who log in by the name are not held up by it.
        await house.logged_in()

    run(body)


def test_two_changes_at_once_are_one(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        user = await house.registered()

        async def change(number: int) -> object:
            return await changed(house, user, new=f"{NEW} {number}")

        tasks = [runtime.start(lambda number=number: change(number), name="change") for number in range(3)]  # type: ignore[misc]  # a lambda's default
        outcomes = [await task.wait() for task in tasks]
        assert outcomes.count(None) == 1
        for number, outcome in enumerate(outcomes):
            works = isinstance(await login(house, f"{NEW} {number}"), TokenPair)
            assert works == (outcome is None)
            assert outcome in (None, PasswordRejection.RACED, PasswordRejection.WRONG_PASSWORD)

    run(body)


def test_only_the_device_that_changed_the_password_stays_known(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime, logins_per_minute=3)
        user = await house.registered()
        await house.logged_in(device_id="device-of-ada-0001")
        await house.logged_in(device_id="device-of-thief-01")
        assert await changed(house, user, device_id="device-of-ada-0001") is None
        for _ in range(4):
            await login(house, "wrong password")
        assert isinstance(await login(house, NEW, device_id="device-of-ada-0001"), TokenPair)
        assert not isinstance(await login(house, NEW, device_id="device-of-thief-01"), TokenPair)

    run(body)


def test_a_change_that_the_limiter_missed_is_done_and_said_to_be(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        user = await house.registered()
        await house.logged_in()
        house.revocations.away = True
        assert await changed(house, user) is None
        assert await house.sessions.list_sessions(user.id, limit=9) == ()
        assert isinstance(await login(house, NEW), TokenPair)

    run(body)


def test_a_name_is_changed_and_the_event_tells_which_not_what(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        user = await house.registered()
        await house.registered("bob")
        rename = house.users.rename
        renamed = await rename(user.id, username="Countess", email=None, context=CONTEXT)
        assert isinstance(renamed, User)
        assert (renamed.id, renamed.username, renamed.email) == (user.id, "Countess", "ada@example.com")
        assert await rename(user.id, username=None, email=None, context=CONTEXT) == renamed
        assert await rename(user.id, username="BOB", email=None, context=CONTEXT) is Taken.USERNAME
        assert await rename(user.id, username=None, email="BOB@example.com", context=CONTEXT) is Taken.EMAIL
        assert await rename(user.id, username="b b", email="no", context=CONTEXT) == InvalidUser(
            (UserProblem.USERNAME, UserProblem.EMAIL)
        )
        assert await rename("usr_none", username="new", email=None, context=CONTEXT) is None
        page = await house.audit.find(AuditFilter(action=AuditAction.USER_RENAMED), limit=9, cursor=None)
        assert [(event.resource, dict(event.detail)) for event in page.items] == [
            (f"user:{user.id}", {"fields": "username"})
        ]
        assert isinstance(await login(house, PASSWORD, name="countess"), TokenPair)
        assert await login(house, PASSWORD) is LoginRejection.INVALID_CREDENTIALS

    run(body)


def test_who_leaves_takes_sessions_and_keys_along_and_frees_the_name(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        user = await house.registered()
        assert await house.users.change_roles(user.id, frozenset({Role.ADMIN}), CONTEXT) is not None
        pair = await house.logged_in()
        made = await house.api_keys.create(
            name="k", scopes=frozenset({Scope.ADMIN}), context=CONTEXT, sponsor_id=user.id
        )
        assert isinstance(made, CreatedApiKey)
        assert await house.users.remove(user.id, CONTEXT)
        assert dict(house.revocations.told) == {
            pair.session_id: REVOCATION_MS,
            made.api_key.id: 2 * CACHE_AGE_MS_MAX,
        }
        assert await house.api_keys.authenticate(made.text, unasked) is ApiKeyRejection.REVOKED
        assert await house.users.profile(user.id) is None
        assert await login(house, PASSWORD) is LoginRejection.INVALID_CREDENTIALS
        assert not await house.users.remove(user.id, CONTEXT)
        assert not await house.users.remove("not an id", CONTEXT)
        assert (await house.actions()).count(AuditAction.USER_DELETED) == 1
        again = await house.registered()
        assert again.id != user.id
        session = await house.sessions_kept.get(pair.session_id)
        assert session is not None
        assert (session.revoked_ms, session.address, session.user_agent) == (START_MS, "", "")

    run(body)


def test_a_refresh_token_of_one_who_left_is_nothing(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        user = await house.registered()
        pair = await house.logged_in()
        await house.users.remove(user.id, CONTEXT)
        refreshed = await house.sessions.refresh(
            token=pair.refresh_token, device_id=pair.device_id, context=CONTEXT
        )
        assert not isinstance(refreshed, TokenPair)

    run(body)


def test_roles_given_while_names_change_are_answered_with_what_was_stored(
    run: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        user = await house.registered()
        read = house.users_kept.get

        async def renamed_meanwhile(user_id: str) -> User | None:
            found = await read(user_id)
            monkeypatch.undo()
            assert await house.users.rename(user_id, username="grace", email=None, context=CONTEXT)
            return found

        remembered: list[User] = []
        monkeypatch.setattr(house.users_kept, "get", renamed_meanwhile)
        changed = await house.users.change_roles(
            user.id, frozenset({Role.ANALYST}), CONTEXT, answer=remembered.append
        )
        kept = await house.users.profile(user.id)
        assert kept is not None
        assert (kept.username, set(kept.roles)) == ("grace", {Role.USER, Role.ANALYST})
        assert changed == kept
        assert remembered == [kept]

    run(body)


def test_other_roles_are_told_of_and_the_same_ones_are_nothing(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        user = await house.registered()
        pair = await house.logged_in()
        assert await house.users.change_roles(user.id, frozenset(), CONTEXT) == await house.users.profile(
            user.id
        )
        assert house.revocations.told == []
        analyst = await house.users.change_roles(user.id, frozenset({Role.ANALYST}), CONTEXT)
        assert analyst is not None
        assert analyst.roles == {Role.USER, Role.ANALYST}
        assert analyst == await house.users.profile(user.id)
        assert house.revocations.told == [(pair.session_id, REVOCATION_MS)]
        assert await house.users.change_roles("usr_none", frozenset(), CONTEXT) is None
        page = await house.audit.find(AuditFilter(action=AuditAction.ROLES_CHANGED), limit=9, cursor=None)
        assert [dict(event.detail) for event in page.items] == [{"roles": "analyst,user"}]

    run(body)
