"""The routes that describe the others: documents for machines, and a page to try the routes with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any

import msgspec

from adapters.asgi.problems import NOT_FOUND, Headers, Problem
from adapters.web.api_documents.asyncapi import ADDRESS, asyncapi_document
from adapters.web.api_documents.openapi import openapi_document
from adapters.web.route import Answer, Call, Route
from domain.identity.access import PUBLIC
from domain.realtime.protocol import SUBPROTOCOL
from ports.runtime import Runtime

PAGE = "/docs"
ASSETS = "adapters.web.api_documents.swagger_ui"
MEDIA_TYPES: Mapping[str, str] = {
    "index.html": "text/html; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
    "page.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "favicon-32x32.png": "image/png",
}
"""All that the page is made of; nothing else of the folder is served."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI needs no more: it sets styles through the DOM and draws its icons from `data:` addresses."""

UPGRADE_REQUIRED = Problem(
    426,
    "upgrade_required",
    f"`{ADDRESS}` is a WebSocket (RFC 6455) of the subprotocol `{SUBPROTOCOL}`: connect with a WebSocket "
    "client. `/asyncapi.json` says what it speaks.",
    headers=(("Upgrade", "websocket"), ("Connection", "Upgrade")),
)
_HEADERS: Headers = (
    ("Content-Security-Policy", POLICY),
    ("Referrer-Policy", "no-referrer"),
)
_TAGS = ("service",)
_PAGE_CACHE, _DOCUMENT_CACHE = "public, max-age=3600", "public, max-age=60"


def document_routes(
    routes: Sequence[Route], *, title: str, version: str, runtime: Runtime
) -> tuple[Route, ...]:
    """What is shown is made in a thread when it is first asked for, then remembered. Whoever asks for the
    WebSocket without speaking it is told what it is, too."""
    made: dict[str, bytes] = {}

    async def remembered(name: str, make: Callable[[], bytes]) -> bytes:
        if name not in made:
            made[name] = await runtime.run_in_thread(make)
        return made[name]

    def openapi() -> bytes:
        return _json(openapi_document((*routes, *own), title=title, version=version))

    def asyncapi() -> bytes:
        return _json(asyncapi_document(title=title, version=version))

    async def show_openapi(_call: Call[None, None]) -> Answer:
        return Answer(200, msgspec.Raw(await remembered("openapi", openapi)))

    async def show_asyncapi(_call: Call[None, None]) -> Answer:
        return Answer(200, msgspec.Raw(await remembered("asyncapi", asyncapi)))

    async def asset(name: str) -> Answer:
        body = await remembered(name, files(ASSETS).joinpath(name).read_bytes)
        return Answer(200, body, _HEADERS, media_type=MEDIA_TYPES[name])

    async def show_page(_call: Call[None, None]) -> Answer:
        return await asset("index.html")

    async def show_asset(call: Call[None, None]) -> Answer | Problem:
        name = call.path["asset"]
        return await asset(name) if name in MEDIA_TYPES else NOT_FOUND

    own = (
        Route("GET", "/openapi.json", "openapi", PUBLIC, show_openapi, tags=_TAGS, cache=_DOCUMENT_CACHE,
              summary="This document"),
        Route("GET", "/asyncapi.json", "asyncapi", PUBLIC, show_asyncapi, tags=_TAGS, cache=_DOCUMENT_CACHE,
              summary="What a WebSocket speaks"),
        Route("GET", PAGE, "docs", PUBLIC, show_page, tags=_TAGS, cache=_PAGE_CACHE,
              media_types=("text/html",), summary="A page to try the routes with"),
        Route("GET", f"{PAGE}/<asset>", "docs_asset", PUBLIC, show_asset, tags=_TAGS, cache=_PAGE_CACHE,
              problems=(NOT_FOUND,), summary="What that page is made of",
              media_types=tuple(sorted({each.partition(";")[0] for each in MEDIA_TYPES.values()}))),
        Route("GET", ADDRESS, "websocket", PUBLIC, refuse_plain_http, in_document=False,
              problems=(UPGRADE_REQUIRED,)),
    )  # fmt: skip
    return own


async def refuse_plain_http(_call: Call[None, None]) -> Problem:
    """What is no WebSocket handshake, where WebSockets are served."""
    return UPGRADE_REQUIRED


def _json(document: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode(document)
