"""A user's own account, and what a user looks like from outside."""

from __future__ import annotations

from adapters.web import Answer, Body, Call, Problem, Route, rfc3339
from domain.access import USER
from domain.users import User
from plugins.main.modules.connection_api import ConnectionAPI
from plugins.main.routes.problems import INVALID_TOKEN


class UserView(Body, frozen=True, kw_only=True):
    """A user, as they and administrators see them."""

    id: str
    username: str
    email: str
    roles: list[str]
    created_at: str


def user_view(user: User) -> UserView:
    return UserView(
        id=user.id,
        username=user.username,
        email=user.email,
        roles=sorted(role.value for role in user.roles),
        created_at=rfc3339(user.created_ms),
    )


def user_routes(api: ConnectionAPI) -> tuple[Route, ...]:
    async def show_me(call: Call[None, None]) -> Answer | Problem:
        user = await api.users.profile(call.caller.id)
        # The token outlived its user.
        return INVALID_TOKEN if user is None else Answer(200, user_view(user))

    return (
        Route(
            "GET",
            "/users/me",
            "show_me",
            USER,
            show_me,
            answer=UserView,
            summary="One's own account",
            tags=("users",),
        ),
    )
