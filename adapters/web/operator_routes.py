"""The routes of operators, answered in front of everything and never counted by the limiter."""

from __future__ import annotations

import hmac

import msgspec

from adapters.asgi.answers import Responder
from adapters.asgi.problems import Problem, problem_of
from adapters.asgi.request_head import BEARER, RequestHead, scheme_and_rest
from adapters.asgi.request_state import RequestState
from adapters.web.readiness import Readiness
from ports.metrics import Metrics
from ports.runtime import Runtime

LIVE = "/health/live"
READY = "/health/ready"
METRICS = "/metrics"
PATHS = frozenset({LIVE, READY, METRICS})

_JSON = b"application/json"

NOT_THE_SCRAPER = Problem(
    401, "not_authenticated", "The metrics need their token.", headers=(("WWW-Authenticate", "Bearer"),)
)
WRONG_METHOD = Problem(405, "method_not_allowed", "Method Not Allowed.", headers=(("Allow", "GET, HEAD"),))


class OperatorRoutes:
    """Liveness, readiness and metrics of this process."""

    def __init__(
        self, *, readiness: Readiness, metrics: Metrics, runtime: Runtime, metrics_token: str | None
    ) -> None:
        self._readiness = readiness
        self._metrics = metrics
        self._runtime = runtime
        self._token = None if metrics_token is None else metrics_token.encode()
        # Rendering reads files with several workers: one scrape at a time is enough for anybody.
        self._rendering = runtime.lock()

    async def answer(self, state: RequestState, responder: Responder) -> None:
        """To a request for one of `PATHS`."""
        state.route = state.path
        if state.method not in ("GET", "HEAD"):
            await responder.problem(WRONG_METHOD)
            return
        try:
            status, content_type, body = await self._render(state.path, state.head)
        except _RefusedError:
            await responder.problem(NOT_THE_SCRAPER)
        except Exception as error:  # noqa: BLE001 - an operator's route answers, whatever failed
            await responder.problem(problem_of(error, state))
        else:
            await responder.answer(status, content_type, body, [])

    async def _render(self, path: str, head: RequestHead) -> tuple[int, bytes, bytes]:
        if path == LIVE:
            return 200, _JSON, b'{"status":"ok"}'
        if path == READY:
            down = await self._readiness.down()
            if down:
                names = list(dict.fromkeys(part.name for part in down))
                parts = [part._asdict() for part in down]
                body = msgspec.json.encode({"status": "unavailable", "down": names, "parts": parts})
                return 503, _JSON, body
            return 200, _JSON, b'{"status":"ok"}'
        if self._token is not None:
            presented = [scheme_and_rest(value) for value in head.all(b"authorization")]
            tokens = [rest for scheme, rest in presented if scheme == BEARER]
            if len(tokens) != 1 or not hmac.compare_digest(tokens[0], self._token):
                raise _RefusedError
        async with self._rendering:
            content_type, text = await self._runtime.run_in_thread(self._metrics.render)
        return 200, content_type.encode("ascii"), text


class _RefusedError(Exception):
    """The scrape does not carry the token."""
