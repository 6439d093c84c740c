"""Routes that exist for tests: they show what a handler was given, or fail as they are told."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from credit_system import (
    Amount,
    Answer,
    AssetCode,
    Body,
    Call,
    Metadata,
    Problem,
    Route,
    Time,
    check_metadata,
)
from domain.identity.access import ADMIN, PUBLIC, USER, any_scope, scope_or_owner
from domain.identity.api_keys import Scope

OWNED = scope_or_owner(Scope.CREDITS_READ)


class Order(Body, frozen=True, kw_only=True):
    amount: Amount
    asset: AssetCode = "GEMS"
    note: str = ""
    tags: list[str] = msgspec.field(default_factory=list)
    metadata: Metadata = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        check_metadata(self.metadata)


class OrderQuery(Body, frozen=True, kw_only=True):
    count: int = 1
    text: str | None = None
    at: Time | None = None


class Optional(Body, frozen=True, kw_only=True):
    amount: Amount | None = None


async def echo(call: Call[Order, OrderQuery]) -> Answer:
    return Answer(
        201,
        {
            "amount": call.body.amount,
            "asset": call.body.asset,
            "note": call.body.note,
            "count": call.query.count,
            "text": call.query.text,
            "at": None if call.query.at is None else call.query.at.isoformat(),
            "key": call.idempotency_key,
            "device": call.device_id,
            "address": call.context.address,
            "agent": call.context.user_agent,
            "actor": call.context.actor,
            "request": call.context.request_id,
        },
        (("X-Extra", "1"),),
    )


async def optional(call: Call[Optional, None]) -> Answer:
    return Answer(200, {"amount": call.body.amount})


async def owned(call: Call[None, None]) -> Answer | Problem:
    return call.refusal(OWNED, call.path["owner"]) or Answer(200, {"owner": call.path["owner"]})


async def done(_call: Call[None, None]) -> Answer:
    return Answer(204)


def failing(make: Callable[[], BaseException]) -> Route:
    async def fail(_call: Call[None, None]) -> Answer:
        raise make()

    return Route("GET", "/fails", "fails", PUBLIC, fail)


ROUTES = (
    Route("POST", "/orders", "order", PUBLIC, echo, body=Order, query=OrderQuery, success=201),
    Route("POST", "/small", "small", PUBLIC, echo, body=Order, query=OrderQuery, body_bytes_max=64),
    Route("POST", "/optional", "optional", PUBLIC, optional, body=Optional),
    Route("GET", "/owned/<owner>", "owned", OWNED, owned),
    Route("GET", "/users-only", "users_only", USER, done),
    Route("POST", "/admin-only", "admin_only", ADMIN, echo, body=Order, query=OrderQuery),
    Route("GET", "/read-only", "read_only", any_scope(Scope.CREDITS_READ), done),
)
