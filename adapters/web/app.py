"""The HTTP application over Quart, from a list of routes. One factory serves both event loops."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from quart import Quart, Response, request
from quart.asgi import ASGIHTTPConnection
from werkzeug.exceptions import HTTPException

from adapters.web.body import BodyLimits
from adapters.web.document_routes import document_routes
from adapters.web.errors import problem_of
from adapters.web.exchange import exchange_of
from adapters.web.route import Route
from adapters.web.view import RECEIVE_KEY, View, problem_response
from ports.runtime import DeadlineExceeded, Runtime

DEFAULT_LIMITS = BodyLimits()
SEND_S_MAX = 60.0

_log = logging.getLogger("credit.web")


def create_app(
    quart_class: type[Quart],
    routes: Sequence[Route],
    *,
    runtime: Runtime,
    title: str,
    version: str,
    body_bytes_max: int = DEFAULT_LIMITS.bytes_max,
    body_seconds_max: float = DEFAULT_LIMITS.seconds_max,
) -> Quart:
    """`quart_class` is `Quart` on asyncio, `QuartTrio` on trio; the routes of documents are added
    to these. Raises ValueError when two of them share a name or a method and path."""
    routes = (*routes, *document_routes(routes, title=title, version=version, runtime=runtime))
    _check_unique(routes)
    limits = BodyLimits(body_bytes_max, body_seconds_max)
    app = quart_class("credit_system", static_folder=None)
    # A doubled slash is another path, and answering it with a redirect would be an answer nobody needs.
    app.url_map.merge_slashes = False
    app.asgi_http_class = _connection_class(runtime)
    for route in routes:
        app.add_url_rule(
            route.path,
            endpoint=route.name,
            view_func=View(
                route,
                runtime=runtime,
                limits=limits,
                response_class=app.response_class,
            ).answer,
            methods=[route.method],
        )

    async def http_error(error: HTTPException) -> Response:
        exchange = exchange_of(request.scope)  # type: ignore[arg-type] # a TypedDict is a dict at run time
        return problem_response(problem_of(error, exchange.request_id), exchange, app.response_class)

    app.register_error_handler(HTTPException, http_error)
    return app


def _connection_class(runtime: Runtime) -> type[ASGIHTTPConnection]:
    """Runs the handler inline: Quart's own cancels it when the client goes away, and credits must not
    hang on a client's patience. The body is read by the view, once it knows the route's limit."""

    class InlineConnection(ASGIHTTPConnection):
        async def __call__(self, receive: Any, send: Any) -> None:
            self.scope[RECEIVE_KEY] = receive  # type: ignore[literal-required] # of our own
            try:
                response: Any = await self.app.handle_request(self._create_request_from_scope(send))
            except Exception as error:  # noqa: BLE001 - raised before Quart could handle it (a bad Host)
                exchange = exchange_of(self.scope)  # type: ignore[arg-type] # as above
                problem = problem_of(error, exchange.request_id)
                response = problem_response(problem, exchange, self.app.response_class)
            try:
                async with runtime.deadline(SEND_S_MAX):
                    await self._send_response(send, response)
            except DeadlineExceeded:
                _log.info("a client did not take its answer in %s s", SEND_S_MAX)

    return InlineConnection


def _check_unique(routes: Sequence[Route]) -> None:
    names: set[str] = set()
    places: set[tuple[str, str]] = set()
    for route in routes:
        if route.name in names:
            raise ValueError(f"two routes are named {route.name}")
        if (route.method, route.path) in places:
            raise ValueError(f"two routes answer {route.method} {route.path}")
        names.add(route.name)
        places.add((route.method, route.path))
