"""The layer in front of everything: who is asking, may they ask now, and what did it come to.

What is refused is refused here, before a framework builds a request of it. A WebSocket's connect is
counted like a request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from urllib.parse import urlsplit

from adapters.asgi.answers import Responder, first_headers, refuse_upgrade
from adapters.asgi.client_address import AddressRules
from adapters.asgi.credential_verifier import REVOKED_API_KEY, CredentialVerifier
from adapters.asgi.problems import Problem, problem_of
from adapters.asgi.rate_limits import REVOKED, limit_refusal, quota_headers
from adapters.asgi.request_head import RequestHead
from adapters.asgi.request_state import SCOPE_KEY, RequestState
from adapters.asgi.types import Application, RawHeaders, Receive, Scope, Send
from adapters.web.body import BodyWatch
from adapters.web.cors import Cors
from adapters.web.http_metrics import HttpMetrics
from adapters.web.operator_routes import PATHS as OPERATOR_PATHS
from adapters.web.operator_routes import OperatorRoutes
from adapters.web.route_table import RouteTable
from domain.identity.access import Principal, PrincipalKind
from domain.limits.admission import Admission
from ports.entropy import Entropy
from ports.request_id import REQUEST_ID
from ports.runtime import Runtime

REFUSED = "refused"
"""The route label of what was refused before anybody matched its path."""

_AUTH = "/auth/"
_ERRORS = (400, 401)


class Limiting(Protocol):
    """The application's rate limiter, as far as the guard asks it."""

    async def admit(
        self,
        *,
        address: str | None,
        user_id: str | None = None,
        api_key_id: str | None = None,
        session_id: str | None = None,
        policies: Sequence[str] = (),
        fail_closed: bool = False,
    ) -> Admission: ...

    def count_error(self, address: str) -> None:
        """One request of this address was answered with an error of its own making."""

    def knows(self, policy: str) -> bool:
        """Whether a route may name this policy."""


class Guard:
    """An ASGI application around another; the lifespan goes straight through.

    An answer 400 or 401 is counted against the address, after it was sent, unless

    - the address is allow-listed, or a verified API key came with the request: a service may speak for
      many, and its bugs are no attack;
    - a verified access token came with it, except under `/auth/`, where the body holds what is tried;
    - the answer is `blameless`: what was shown was ours, and is over or in the wrong place, or nothing was
      shown that could be checked. `docs/credentials.md` has the list.
    """

    def __init__(
        self,
        application: Application,
        *,
        routes: RouteTable,
        addresses: AddressRules,
        credentials: CredentialVerifier,
        limiter: Limiting,
        operations: OperatorRoutes,
        cors: Cors,
        metrics: HttpMetrics,
        runtime: Runtime,
        entropy: Entropy,
    ) -> None:
        """Raises ValueError when a route names a policy that the limiter does not know."""
        unknown = sorted(name for name in routes.policy_names if not limiter.knows(name))
        if unknown:
            raise ValueError(f"routes name unknown limit policies: {', '.join(unknown)}")
        self._application = application
        self._routes = routes
        self._addresses = addresses
        self._credentials = credentials
        self._limiter = limiter
        self._operations = operations
        self._cors = cors
        self._metrics = metrics
        self._runtime = runtime
        self._entropy = entropy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        else:
            await self._application(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_s = self._runtime.monotonic()
        state = self._state(scope, scope["method"].upper())
        head = state.head
        headers = [*first_headers(state), *self._cors.headers(head)]
        unread = None
        if head.has_body and scope.get("http_version", "1.1").startswith("1"):
            receive = unread = BodyWatch(receive, self._runtime, is_withheld=head.withholds_body)
        responder = Responder(scope, send, headers, state, unread)
        try:
            if state.path in OPERATOR_PATHS:
                await self._operations.answer(state, responder)
            elif state.method == "OPTIONS" and (preflight := self._cors.preflight(head)) is not None:
                responder.headers = first_headers(state)
                await responder.empty(204, preflight)
            else:
                refused = await self._admit(scope, state, headers)
                if refused is None:
                    await self._application(scope, receive, responder)
                else:
                    state.route = self._routes.template(state.method, state.path) or REFUSED
                    await responder.problem(refused)
        except Exception as error:
            problem = problem_of(error, state)
            if responder.status is not None:
                # The answer has begun: only cutting the connection tells the client that it is broken.
                raise
            await responder.problem(problem)
        finally:
            if responder.status is not None:
                seconds = self._runtime.monotonic() - started_s
                self._metrics.count(responder.status, state, seconds)
                self._blame(responder.status, state)

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        started_s = self._runtime.monotonic()
        state = self._state(scope, "GET")
        headers: RawHeaders = []
        refused = await self._admit(scope, state, headers)
        if refused is None:
            await self._application(scope, receive, send)
            return
        state.route = REFUSED
        if (await receive())["type"] == "websocket.connect":
            await refuse_upgrade(scope, send, refused, state, headers)
        self._metrics.count(refused.status, state, self._runtime.monotonic() - started_s)
        self._blame(refused.status, state)

    def _state(self, scope: Scope, method: str) -> RequestState:
        path, head, client = canonical_path(scope), RequestHead(scope["headers"]), scope.get("client")
        address = self._addresses.client(
            client[0] if client else None, head.all(b"x-forwarded-for"), head.all(b"forwarded")
        )
        request_id = head.request_id() or self._entropy.token(12).hex()
        # The server runs each request in a task of its own.
        REQUEST_ID.set(request_id)
        state = scope[SCOPE_KEY] = RequestState(
            head,
            request_id=request_id,
            address=address.counted,
            method=method,
            path=path,
            exempt=address.exempt,
        )
        return state

    async def _admit(self, scope: Scope, state: RequestState, headers: RawHeaders) -> Problem | None:
        """Identifies and counts the caller; None when the request may go on.

        Credentials that are presented and bad are refused on every route, once the address has paid.
        """
        try:
            caller = await self._credentials.identify(scope, state)
            state.blames_address = not state.exempt and not _is_vouched_for(caller, state.path)
            admission = await self._count(caller, state)
        except Exception as error:  # noqa: BLE001 - whatever fails here becomes a problem, never a way in
            return problem_of(error, state)
        headers += quota_headers(admission)
        refused = limit_refusal(admission)
        if refused is REVOKED and isinstance(caller, Principal) and caller.kind is PrincipalKind.API_KEY:
            return REVOKED_API_KEY
        if refused is None and isinstance(caller, Problem):
            return caller
        if refused is None and isinstance(caller, Principal):
            state.principal = caller
        return refused

    def _blame(self, status: int, state: RequestState) -> None:
        if status in _ERRORS and state.blames_address and not state.blameless:
            self._limiter.count_error(state.address)

    async def _count(self, caller: Principal | Problem | None, state: RequestState) -> Admission:
        user_id = api_key_id = session_id = None
        if isinstance(caller, Principal):
            if caller.kind is PrincipalKind.API_KEY:
                api_key_id = caller.id
            else:
                user_id, session_id = caller.id, caller.session_id
        return await self._limiter.admit(
            address=None if state.exempt else state.address,
            user_id=user_id,
            api_key_id=api_key_id,
            session_id=session_id,
            policies=self._routes.policies(state.method, state.path),
            fail_closed=state.path.startswith(_AUTH),
        )


def _is_vouched_for(caller: Principal | Problem | None, path: str) -> bool:
    """Whether a verified caller answers for this request instead of its address; see `Guard`."""
    if not isinstance(caller, Principal):
        return False
    return caller.kind is PrincipalKind.API_KEY or not path.startswith(_AUTH)


def canonical_path(scope: Scope) -> str:
    """The path as Quart will match it, written back into the scope.

    Quart takes `//auth/login` and the absolute form `http://host/auth/login` for `/auth/login`; limits
    that stand on the path must not be slipped past by spelling it otherwise.
    """
    path: str = scope["path"]
    if path.startswith("/") and not path.startswith("//"):
        return path
    if not path.startswith("/"):
        try:
            path = urlsplit(path).path
        except ValueError:
            path = scope["path"]
    path = scope["path"] = "/" + path.lstrip("/")
    return path
