"""Bans in force: listed, imposed and lifted."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from application.limits.moderation import (
    BAN_CURSOR,
    BAN_SECONDS_MAX,
    REASON_LENGTH_MAX,
    REASON_RULE,
    BanRejection,
    Moderation,
    is_reason,
)
from credit_system import (
    ADMIN,
    NOT_FOUND,
    Answer,
    Body,
    Call,
    Cursor,
    Idempotency,
    ListQuery,
    Moment,
    Problem,
    Remember,
    Route,
    cursor_form,
    once,
    rfc3339,
    told_as,
)
from domain.limits.bans import Ban
from domain.limits.identifiers import IdentifierType
from plugins.admin.named import BY_IDENTIFIER, IDENTIFIER_LENGTH_MAX, NamedInPath, invalid, named, named_in
from plugins.idempotency import KEY_CONFLICT

DESCRIPTION = (
    "An IPv6 address is counted by its /64, and that is what its ban is on. Other workers follow within"
    " 5 seconds. Identifiers may be percent-encoded or stand in the path as they are."
)


class NewBan(Body, frozen=True, kw_only=True):
    """Who is shut out. Without `seconds`, for as long as the identifier's level gives."""

    type: Annotated[
        str, told_as(title="Bannable", enum=[each.value for each in IdentifierType if each.bannable])
    ]
    identifier: Annotated[str, Meta(min_length=1, max_length=IDENTIFIER_LENGTH_MAX)]
    seconds: Annotated[int, Meta(ge=1, le=BAN_SECONDS_MAX)] | None = None
    reason: Annotated[
        str, Meta(min_length=1, max_length=REASON_LENGTH_MAX, description="One line that can be printed")
    ]


class BanView(Body, frozen=True, kw_only=True):
    """Requests of this identifier are refused until then."""

    type: str
    identifier: str
    until: Moment
    level: Annotated[int, Meta(description="How many bans lead to this one; each further one lasts longer")]
    reason: Annotated[str, Meta(description="`violations` for one that was not imposed by hand")]


class BansQuery(ListQuery, frozen=True, kw_only=True):
    cursor: Annotated[Cursor, cursor_form(BAN_CURSOR.pattern)] | None = None


class BanPage(Body, frozen=True, kw_only=True):
    items: list[BanView]
    next_cursor: str | None


def ban_view(ban: Ban) -> BanView:
    return BanView(
        type=ban.identifier.type.value,
        identifier=ban.identifier.value,
        until=rfc3339(ban.until_ms),
        level=ban.level,
        reason=ban.reason,
    )


def ban_routes(moderation: Moderation, idempotency: Idempotency) -> tuple[Route, ...]:
    async def list_bans(call: Call[None, BansQuery]) -> Answer | Problem:
        page = await moderation.list_bans(limit=call.query.limit, cursor=call.query.cursor)
        if page is None:
            return invalid("cursor", "`cursor` is no `next_cursor` of this list.")
        items = [ban_view(ban) for ban in page.items]
        return Answer(200, BanPage(items=items, next_cursor=page.next_cursor))

    async def add_ban(call: Call[NewBan, None]) -> Answer | Problem:
        body = call.body
        identifier = named(body.type, body.identifier)
        if isinstance(identifier, Problem):
            return identifier
        if not is_reason(body.reason):
            return invalid("reason", f"`reason` is {REASON_RULE}.")

        async def ban(remember: Remember) -> Answer | Problem:
            imposed = await moderation.ban(
                identifier,
                seconds=body.seconds,
                reason=body.reason,
                context=call.context,
                answer=lambda ban: remember.answer(201, ban_view(ban)),
            )
            if isinstance(imposed, BanRejection):
                return invalid(imposed.field, f"`{imposed.field}`: {imposed.value}.")
            return Answer(201, ban_view(imposed))

        return await once(idempotency, call, "add_ban", ban)

    async def lift_ban(call: Call[None, None]) -> Answer | Problem:
        identifier = named_in(call.path)
        if isinstance(identifier, Problem):
            return identifier

        async def lift(remember: Remember) -> Answer | Problem:
            lifted = await moderation.unban(identifier, call.context, answer=remember.answer(204))
            return Answer(204) if lifted else NOT_FOUND

        return await once(idempotency, call, "lift_ban", lift)

    tags = ("administration",)
    return (
        Route("GET", "/admin/bans", "list_bans", ADMIN, list_bans, query=BansQuery, answer=BanPage, tags=tags,
              summary="Bans in force, those that end last first"),
        Route("POST", "/admin/bans", "add_ban", ADMIN, add_ban, body=NewBan, answer=BanView, success=201,
              problems=(KEY_CONFLICT,), tags=tags,
              summary="Ban an identifier, in place of a ban in force", description=DESCRIPTION),
        Route("DELETE", f"/admin/bans{BY_IDENTIFIER}", "lift_ban", ADMIN, lift_ban, success=204,
              parameters=NamedInPath,
              problems=(NOT_FOUND, KEY_CONFLICT), tags=tags,
              summary="Lift a ban", description=DESCRIPTION),
    )  # fmt: skip
