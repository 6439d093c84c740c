"""A user's own account, and all users for administrators."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from application.identity.users import InvalidUser, PasswordDelayed, PasswordRejection, Taken
from credit_system import (
    ADMIN,
    NOT_FOUND,
    USER,
    Answer,
    Body,
    Call,
    ConnectionAPI,
    Cursor,
    Idempotency,
    ListQuery,
    Moment,
    Problem,
    Remember,
    Role,
    Route,
    Scope,
    User,
    any_scope,
    cursor_form,
    once,
    rfc3339,
    time_ordered_form,
    told_as,
)
from domain.identity.users import (
    EMAIL_CHARACTERS_MAX,
    ID_PREFIX,
    PASSWORD_CHARACTERS_MAX,
    PASSWORD_CHARACTERS_MIN,
)
from plugins.idempotency import KEY_CONFLICT
from plugins.main.happenings import note
from plugins.main.routes.problems import (
    INVALID_TOKEN,
    TAKEN,
    WRONG_PASSWORD,
    foreign_cursor,
    too_many_attempts,
    validation_failed,
)

MAY_READ_USERS = any_scope(Scope.USERS_READ)
MAY_WRITE_USERS = any_scope(Scope.USERS_WRITE)

Text = Annotated[str, Meta(max_length=1024)]
Username = Annotated[Text, told_as(pattern="^[A-Za-z0-9_.-]{3,64}$", maxLength=64)]
Email = Annotated[Text, told_as(format="email", maxLength=EMAIL_CHARACTERS_MAX)]
NewPassword = Annotated[
    Text,
    told_as(
        "None of those that are tried first, and neither of the user's names",
        minLength=PASSWORD_CHARACTERS_MIN,
        maxLength=PASSWORD_CHARACTERS_MAX,
        pattern=r"^[^\u0000]*$",
    ),
]


class UserView(Body, frozen=True, kw_only=True):
    """A user, as they and administrators see them."""

    id: str
    username: str
    email: str
    roles: list[str]
    created_at: Moment


class UsersQuery(ListQuery, frozen=True, kw_only=True):
    cursor: Annotated[Cursor, cursor_form(time_ordered_form(ID_PREFIX))] | None = None


class UserPage(Body, frozen=True, kw_only=True):
    items: list[UserView]
    next_cursor: str | None


class UserChange(Body, frozen=True, kw_only=True):
    """What is not named stays as it is."""

    username: Username | UnsetType = UNSET
    email: Email | UnsetType = UNSET


class RoleChange(Body, frozen=True, kw_only=True):
    """The roles in place of those before; everybody is a `user`, too."""

    roles: Annotated[list[Role], Meta(max_length=8)]


class PasswordChange(Body, frozen=True, kw_only=True):
    """A new password of 8 to 256 characters, and the one that it replaces."""

    current_password: Text
    new_password: NewPassword


def user_view(user: User) -> UserView:
    return UserView(
        id=user.id,
        username=user.username,
        email=user.email,
        roles=sorted(role.value for role in user.roles),
        created_at=rfc3339(user.created_ms),
    )


class UserRoutes:
    """Each handler: one use case, one answer."""

    def __init__(self, api: ConnectionAPI, idempotency: Idempotency) -> None:
        self._api = api
        self._idempotency = idempotency

    def routes(self) -> tuple[Route, ...]:
        tags = ("users",)
        return (
            Route("GET", "/users/me", "show_me", USER, self.show_me, answer=UserView, tags=tags,
                  summary="One's own account"),
            Route("PATCH", "/users/me", "change_me", USER, self.change_me, body=UserChange, answer=UserView,
                  problems=(*TAKEN.values(), KEY_CONFLICT), tags=tags,
                  summary="Another username or e-mail address"),
            Route("DELETE", "/users/me", "delete_me", USER, self.delete_me, success=204, tags=tags,
                  summary="Delete one's own account: sessions and WebSockets end at once"),
            Route("PUT", "/users/me/password", "change_password", USER, self.change_password,
                  body=PasswordChange, success=204, problems=(WRONG_PASSWORD,),
                  policies=("password",), tags=tags,
                  summary="Another password: every session ends, this one as well"),
            Route("GET", "/users", "list_users", MAY_READ_USERS, self.list_users, query=UsersQuery,
                  answer=UserPage, tags=tags, summary="All users, newest first"),
            Route("GET", "/users/<user_id>", "show_user", MAY_READ_USERS, self.show_user, answer=UserView,
                  problems=(NOT_FOUND,), tags=tags, summary="A user"),
            Route("PATCH", "/users/<user_id>", "change_roles", ADMIN, self.change_roles, body=RoleChange,
                  answer=UserView, problems=(NOT_FOUND, KEY_CONFLICT), tags=tags,
                  summary="Give or take roles: every session of the user ends"),
            Route("DELETE", "/users/<user_id>", "delete_user", MAY_WRITE_USERS, self.delete_user, success=204,
                  problems=(NOT_FOUND, KEY_CONFLICT), tags=tags,
                  summary="Delete a user: sessions, WebSockets and keys made in their name end at once"),
        )  # fmt: skip

    async def show_me(self, call: Call[None, None]) -> Answer | Problem:
        user = await self._api.users.profile(call.caller.id)
        # The token outlived its user.
        return INVALID_TOKEN if user is None else Answer(200, user_view(user))

    async def change_me(self, call: Call[UserChange, None]) -> Answer | Problem:
        async def change(remember: Remember) -> Answer | Problem:
            return await self._change_me(call, remember)

        return await once(self._idempotency, call, "change_me", change)

    async def _change_me(self, call: Call[UserChange, None], remember: Remember) -> Answer | Problem:
        username, email = call.body.username, call.body.email
        user = await self._api.users.rename(
            call.caller.id,
            username=None if username is UNSET else username,
            email=None if email is UNSET else email,
            context=call.context,
            answer=lambda renamed: remember.answer(200, user_view(renamed)),
        )
        if isinstance(user, InvalidUser):
            return validation_failed(user.problems)
        if isinstance(user, Taken):
            return TAKEN[user]
        if user is None:
            return INVALID_TOKEN
        note("user renamed", call.context, user=user.id)
        return Answer(200, user_view(user))

    async def delete_me(self, call: Call[None, None]) -> Answer | Problem:
        if not await self._api.users.remove(call.caller.id, call.context):
            return INVALID_TOKEN
        note("user deleted", call.context, user=call.caller.id)
        return Answer(204)

    async def change_password(self, call: Call[PasswordChange, None]) -> Answer | Problem:
        refused = await self._api.users.change_password(
            call.caller.id,
            current=call.body.current_password,
            new=call.body.new_password,
            device_id=call.device_id,
            context=call.context,
        )
        match refused:
            case InvalidUser():
                return validation_failed(refused.problems, field="new_password")
            case PasswordDelayed():
                return too_many_attempts(refused.retry_after_ms)
            case PasswordRejection.WRONG_PASSWORD:
                return WRONG_PASSWORD
            case PasswordRejection.GONE | PasswordRejection.RACED:
                # Either ended the session of this very request.
                return INVALID_TOKEN
            case None:
                note("password changed", call.context, user=call.caller.id)
                return Answer(204)

    async def list_users(self, call: Call[None, UsersQuery]) -> Answer | Problem:
        refused = foreign_cursor(ID_PREFIX, call.query.cursor)
        if refused is not None:
            return refused
        page = await self._api.users.list_page(limit=call.query.limit, cursor=call.query.cursor)
        items = [user_view(user) for user in page.items]
        return Answer(200, UserPage(items=items, next_cursor=page.next_cursor))

    async def show_user(self, call: Call[None, None]) -> Answer | Problem:
        user = await self._api.users.profile(call.path["user_id"])
        return NOT_FOUND if user is None else Answer(200, user_view(user))

    async def change_roles(self, call: Call[RoleChange, None]) -> Answer | Problem:
        user_id = call.path["user_id"]

        async def change(remember: Remember) -> Answer | Problem:
            user = await self._api.users.change_roles(
                user_id,
                frozenset(call.body.roles),
                call.context,
                answer=lambda changed: remember.answer(200, user_view(changed)),
            )
            if user is None:
                return NOT_FOUND
            note("roles changed", call.context, user=user_id)
            return Answer(200, user_view(user))

        return await once(self._idempotency, call, "change_roles", change)

    async def delete_user(self, call: Call[None, None]) -> Answer | Problem:
        user_id = call.path["user_id"]

        async def delete(remember: Remember) -> Answer | Problem:
            if not await self._api.users.remove(user_id, call.context, answer=remember.answer(204)):
                return NOT_FOUND
            note("user deleted", call.context, user=user_id)
            return Answer(204)

        return await once(self._idempotency, call, "delete_user", delete)
