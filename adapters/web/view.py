"""From a route to a whole answer: authorise, parse, handle, encode, each once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import msgspec

from adapters.asgi.answers import about_body, raw_headers
from adapters.asgi.problems import (
    BAD_DEVICE,
    FORBIDDEN,
    NOT_AUTHENTICATED,
    PROBLEM_TYPE,
    Problem,
    encode_problem,
    problem_of,
)
from adapters.asgi.request_state import RequestState, request_state
from adapters.asgi.signed_requests import unsigned_body
from adapters.asgi.types import RawHeaders, Receive, Scope, Send
from adapters.web.body import BodyLimits, read_body
from adapters.web.parsing import UNSUPPORTED, body_parser, idempotency_key, is_json, query_parser
from adapters.web.route import Answer, Call, Route
from domain.identity.access import Permission, Principal, may
from ports.runtime import Runtime


class Encoded(NamedTuple):
    """A whole answer, as ASGI wants it."""

    status: int
    headers: RawHeaders
    body: bytes


class RouteView:
    """One route. Everything that depends on the route alone is made once."""

    __slots__ = (
        "_empty_body",
        "_limits",
        "_parse_body",
        "_parse_query",
        "_route",
        "_runtime",
    )

    def __init__(self, route: Route, *, runtime: Runtime, limits: BodyLimits) -> None:
        self._route = route
        self._runtime = runtime
        self._limits = replace(limits, bytes_max=route.body_bytes_max or limits.bytes_max)
        self._parse_query = query_parser(route.query)
        self._parse_body = None if route.body is None else body_parser(route.body)
        self._empty_body = None if route.body is None else _without_fields(route.body)

    async def answer(self, scope: Scope, receive: Receive, path: Mapping[str, str]) -> Encoded:
        """Of one request; `path` holds the path's parameters."""
        state = request_state(scope)
        state.route = self._route.path
        try:
            answer = await self._handle(scope, receive, state, path)
        except Exception as error:  # noqa: BLE001 - the one place where a request's failures end
            answer = problem_of(error, state)
        if isinstance(answer, Problem):
            return _encoded(answer, PROBLEM_TYPE, encode_problem(answer, state))
        state.cache = self._route.cache
        if answer.body is None:
            # No body has no length either (RFC 9110, 8.6).
            return Encoded(answer.status, raw_headers(answer.headers), b"")
        body = answer.body if isinstance(answer.body, bytes) else msgspec.json.encode(answer.body)
        return _encoded(answer, answer.media_type.encode("ascii"), body)

    async def _handle(
        self, scope: Scope, receive: Receive, state: RequestState, path: Mapping[str, str]
    ) -> Answer | Problem:
        refused = authorise(state.principal, self._route.permission)
        if refused is not None:
            return refused
        if state.has_bad_device and self._route.knows_device:
            return BAD_DEVICE
        key = None if self._route.ignores_key else idempotency_key(state.head.all(b"idempotency-key"))
        if isinstance(key, Problem):
            return key
        query = self._parse_query(scope["query_string"])
        if isinstance(query, Problem):
            return query
        body = await self._body(receive, state)
        if isinstance(body, Problem):
            return body
        return await self._route.handle(
            Call(
                principal=state.principal,
                path=path,
                body=body,
                query=query,
                context=state.context(),
                idempotency_key=key,
                device_id=state.device_id,
            )
        )

    async def _body(self, receive: Receive, state: RequestState) -> msgspec.Struct | Problem | None:
        if self._parse_body is None:
            return None
        content_type = state.head.first(b"content-type")
        if content_type is not None and not is_json(content_type):
            return UNSUPPORTED
        body = await read_body(receive, self._runtime, self._limits, length=state.head.body_length)
        if isinstance(body, Problem):
            return body
        if state.principal is not None and state.principal.signs:
            unsigned = unsigned_body(state, body)
            if unsigned is not None:
                return unsigned
        if not body and self._empty_body is not None:
            return self._empty_body
        return UNSUPPORTED if content_type is None else self._parse_body(body)


async def send_encoded(encoded: Encoded, send: Send, *, is_head: bool) -> None:
    await send({"type": "http.response.start", "status": encoded.status, "headers": encoded.headers})
    await send({"type": "http.response.body", "body": b"" if is_head else encoded.body})


def authorise(principal: Principal | None, permission: Permission) -> Problem | None:
    """What can be said before the resource is known; None lets the request through to its handler."""
    if may(principal, permission):
        return None
    if principal is None:
        return NOT_AUTHENTICATED
    if permission.owner_may and principal.user_id is not None:
        return None
    return FORBIDDEN


def _encoded(answer: Answer | Problem, content_type: bytes, body: bytes) -> Encoded:
    return Encoded(answer.status, about_body(content_type, body) + raw_headers(answer.headers), body)


def _without_fields(kind: type[msgspec.Struct]) -> msgspec.Struct | None:
    """The body that an empty one stands for; None when a field is required."""
    try:
        return msgspec.convert({}, kind)
    except msgspec.ValidationError:
        return None
