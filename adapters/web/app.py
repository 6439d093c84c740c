"""The HTTP application over Quart, from a list of routes. One factory serves both event loops."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from quart import Quart, Response, request
from quart.asgi import ASGIHTTPConnection
from quart.routing import QuartRule
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter

from adapters.asgi.problems import PROBLEM_TYPE, Problem, encode_problem, problem_of
from adapters.asgi.request_state import RequestState, request_state
from adapters.web.api_documents.routes import document_routes
from adapters.web.body import BodyLimits
from adapters.web.route import Route
from adapters.web.view import RouteView, send_encoded
from ports.runtime import DeadlineExceeded, Runtime

DEFAULT_LIMITS = BodyLimits()
SEND_S_MAX = 60.0

_log = logging.getLogger("credit.web")


class MatchedRule(QuartRule):
    """A rule to match paths with, and not to build URLs from.

    Werkzeug (3.1) compiles two functions for each rule that `url_for` would call. That takes ten times as
    long as all else about a rule, at each start, and nothing here builds URLs.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:  # noqa: ARG002
        return _builds_none


def _builds_none(self: MatchedRule, **_values: object) -> tuple[str, str]:
    raise LookupError(f"URLs are not built from rules: write the path of {self.endpoint}")


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
    app.url_rule_class = MatchedRule
    # A doubled slash is another path, and answering it with a redirect would be an answer without use.
    app.url_map.merge_slashes = False
    for route in routes:
        app.add_url_rule(route.path, endpoint=route.name, methods=[route.method])
    views = {route.name: RouteView(route, runtime=runtime, limits=limits) for route in routes}
    app.asgi_http_class = _connection_class(app.url_map.bind(""), views, runtime)

    async def http_error(error: HTTPException) -> Response:
        state = request_state(request.scope)  # type: ignore[arg-type] # a TypedDict is a dict at run time
        return _problem_response(problem_of(error, state), state, app.response_class)

    app.register_error_handler(HTTPException, http_error)
    return app


def _connection_class(
    paths: MapAdapter, views: Mapping[str, RouteView], runtime: Runtime
) -> type[ASGIHTTPConnection]:
    """Finds the view by Quart's own map and hands it the bare request. A view needs no more of that than the
    scope, and what Quart would build around it (a request, contexts, a session, signals) costs more than
    the view does. What no view answers is Quart's: 404, 405, OPTIONS.

    A view runs inline: Quart's own is cancelled when the client goes away, and credits must not hang on a
    client's patience. It reads the body itself, once it knows the route's limit.
    """

    class DirectConnection(ASGIHTTPConnection):
        async def __call__(self, receive: Any, send: Any) -> None:
            scope: Any = self.scope
            method = scope["method"]
            try:
                name, path = paths.match(scope["path"], method)
            except HTTPException:
                name, path = "", {}
            if method == "OPTIONS" or not name:
                response: Any = await self._respond(send)
                sending = self._send_response(send, response)
            else:
                encoded = await views[name].answer(scope, receive, path)
                sending = send_encoded(encoded, send, is_head=method == "HEAD")
            try:
                async with runtime.deadline(SEND_S_MAX):
                    await sending
            except DeadlineExceeded:
                _log.info("a client did not take its answer in %s s", SEND_S_MAX)

        async def _respond(self, send: Any) -> Any:
            scope: Any = self.scope
            try:
                return await self.app.handle_request(self._create_request_from_scope(send))
            except Exception as error:  # noqa: BLE001 - raised before Quart could handle it (a bad Host)
                state = request_state(scope)
                problem = problem_of(error, state)
                return _problem_response(problem, state, self.app.response_class)

    return DirectConnection


def _problem_response(problem: Problem, state: RequestState, make: type[Response]) -> Response:
    response = make(encode_problem(problem, state), problem.status, content_type=PROBLEM_TYPE.decode())
    for name, value in problem.headers:
        response.headers.add(name, value)
    return response


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
