"""The routes that describe the others."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from adapters.web.documents import openapi_document
from adapters.web.route import Answer, Call, Route
from domain.access import PUBLIC
from ports.runtime import Runtime

OPENAPI = "/openapi.json"


def document_routes(
    routes: Sequence[Route], *, title: str, version: str, runtime: Runtime
) -> tuple[Route, ...]:
    """`GET /openapi.json`: made in a thread when it is first asked for, then remembered."""
    made: list[msgspec.Raw] = []

    def make() -> msgspec.Raw:
        document = openapi_document((*routes, *own), title=title, version=version)
        return msgspec.Raw(msgspec.json.encode(document))

    async def show_openapi(_call: Call[None, None]) -> Answer:
        if not made:
            made.append(await runtime.run_in_thread(make))
        return Answer(200, made[0])

    own = (
        Route("GET", OPENAPI, "openapi", PUBLIC, show_openapi, summary="This document", tags=("service",)),
    )
    return own
