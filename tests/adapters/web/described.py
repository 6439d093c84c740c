"""A client that holds every refusal to the API document: what is answered must have been said."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from adapters.asgi.types import Application
from credit_system import Route
from tests.adapters.web.client import Client, HeaderItems, Reply

ANY_ROUTE = frozenset(
    {
        "validation_failed",
        "malformed_json",
        "body_too_large",
        "unsupported_media_type",
        "not_authenticated",
        "invalid_token",
        "invalid_credentials",
        "device_mismatch",
        "forbidden",
        "banned",
        "method_not_allowed",
        "quota_exceeded",
        "dependency_unavailable",
        "overloaded",
        "internal_error",
    }
)
"""What no route has to say of itself."""


class DescribedClient(Client):
    """Fails at a refusal of a route under `/credits` that its `Route.problems` does not name."""

    def __init__(self, application: Application, routes: Sequence[Route]) -> None:
        super().__init__(application)
        self._routes = [
            (route, re.compile(re.sub("<[^>]*>", "[^/]+", route.path)))
            for route in routes
            if route.path.startswith("/credits")
        ]

    async def request(
        self,
        method: str,
        target: str,
        *,
        json: object = None,
        body: bytes | None = None,
        chunks: Sequence[bytes] = (),
        headers: Mapping[str, str] | HeaderItems = (),
        disconnected: bool = False,
    ) -> Reply:
        reply = await super().request(
            method, target, json=json, body=body, chunks=chunks, headers=headers, disconnected=disconnected
        )
        path = target.partition("?")[0]
        for route, pattern in self._routes:
            if reply.status >= 400 and route.method == method and pattern.fullmatch(path):
                refused = reply.status, reply.code
                said: set[Any] = {(problem.status, problem.code) for problem in route.problems}
                assert refused in said or reply.code in ANY_ROUTE, f"{route.name} does not say {refused}"
                break
        return reply
