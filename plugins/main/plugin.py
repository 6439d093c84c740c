"""The main plugin: registers the ConnectionAPI module and the routes of identity."""

from __future__ import annotations

from credit_system import (
    CONNECTION_API,
    LEDGER_COMMITTED,
    ApiKeyService,
    ConnectionAPI,
    DocumentService,
    Idempotency,
    Plugin,
    PluginContext,
    RateLimiter,
    SessionService,
    TokenService,
    UserService,
    service_version,
)
from plugins.main.happenings import note_committed
from plugins.main.measures import Measures
from plugins.main.routes.api_keys import api_key_routes
from plugins.main.routes.authentication import AuthenticationRoutes
from plugins.main.routes.keys import key_routes
from plugins.main.routes.root import root_routes
from plugins.main.routes.sessions import session_routes
from plugins.main.routes.users import UserRoutes
from plugins.version import DISTRIBUTION


class MainPlugin:
    """Asks for the services `users`, `sessions`, `tokens`, `api_keys`, `rate_limiter`, `documents` and
    `idempotency`."""

    @property
    def name(self) -> str:
        return "main"

    @property
    def version(self) -> str:
        return service_version()

    def initialize(self, context: PluginContext) -> None:
        api = ConnectionAPI(
            users=context.service("users", UserService),
            sessions=context.service("sessions", SessionService),
            tokens=context.service("tokens", TokenService),
            api_keys=context.service("api_keys", ApiKeyService),
            rate_limiter=context.service("rate_limiter", RateLimiter),
            documents=context.service("documents", DocumentService),
        )
        context.register_module(CONNECTION_API, api)
        context.register_hook(LEDGER_COMMITTED, note_committed)
        measures = Measures.register(context)
        idempotency = context.service("idempotency", Idempotency)
        context.register_routes(root_routes(name=DISTRIBUTION, version=self.version))
        context.register_routes(AuthenticationRoutes(api, measures, idempotency).routes())
        context.register_routes(key_routes(api.tokens))
        context.register_routes(session_routes(api))
        context.register_routes(UserRoutes(api, idempotency).routes())
        context.register_routes(api_key_routes(api, idempotency))


def _proof(plugin: MainPlugin) -> Plugin:
    """mypy holds the plugin to the protocol here."""
    return plugin
