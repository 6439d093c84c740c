"""How an identifier stands with the limits, and a clean sheet for it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from application.limits.moderation import Limits, Moderation
from credit_system import ADMIN, Answer, Body, Call, Idempotency, Problem, Remember, Route, once
from plugins.admin.named import BY_IDENTIFIER, NamedInPath, named_in
from plugins.admin.routes.bans import BanView, ban_view
from plugins.idempotency import KEY_CONFLICT


class WindowView(Body, frozen=True, kw_only=True):
    """One policy: so many in each period, by one algorithm."""

    policy: str
    limit: int
    period_ms: int
    algorithm: str
    used: int
    remaining: int


class LimitsView(Body, frozen=True, kw_only=True):
    """Everything the limiter knows of one identifier now."""

    type: str
    identifier: str
    windows: list[WindowView]
    violations: Annotated[int, Meta(description="Those that still count towards a ban")]
    banned: bool
    ban: BanView | None


def limit_routes(moderation: Moderation, idempotency: Idempotency) -> tuple[Route, ...]:
    async def show_limits(call: Call[None, None]) -> Answer | Problem:
        identifier = named_in(call.path)
        if isinstance(identifier, Problem):
            return identifier
        return Answer(200, limits_view(await moderation.get_limits(identifier)))

    async def clear_limits(call: Call[None, None]) -> Answer | Problem:
        identifier = named_in(call.path)
        if isinstance(identifier, Problem):
            return identifier

        async def clear(remember: Remember) -> Answer:
            await moderation.clear_limits(identifier, call.context, answer=remember.answer(204))
            return Answer(204)

        return await once(idempotency, call, "clear_limits", clear)

    path, tags = f"/admin/limits{BY_IDENTIFIER}", ("administration",)
    return (
        Route("GET", path, "show_limits", ADMIN, show_limits, parameters=NamedInPath, answer=LimitsView,
              tags=tags, summary="Windows, violations and the ban of one identifier"),
        Route("DELETE", path, "clear_limits", ADMIN, clear_limits, parameters=NamedInPath, success=204,
              problems=(KEY_CONFLICT,), tags=tags, summary="Forget windows and violations; a ban stays"),
    )  # fmt: skip


def limits_view(limits: Limits) -> LimitsView:
    return LimitsView(
        type=limits.identifier.type.value,
        identifier=limits.identifier.value,
        windows=[
            WindowView(
                policy=window.policy.name,
                limit=window.policy.limit,
                period_ms=window.policy.period_ms,
                algorithm=window.policy.algorithm.value,
                used=window.used,
                remaining=window.remaining,
            )
            for window in limits.windows
        ],
        violations=limits.violations,
        banned=limits.ban is not None,
        ban=None if limits.ban is None else ban_view(limits.ban),
    )
