"""The outermost layers, put together: guard, then the socket application or the web framework."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from quart import Quart

from adapters.asgi.client_address import AddressRules
from adapters.asgi.credential_verifier import CredentialVerifier
from adapters.asgi.types import Application, Receive, Scope, Send
from adapters.socket.application import SocketApplication
from adapters.web.app import create_app
from adapters.web.cors import Cors
from adapters.web.guard import Guard
from adapters.web.http_metrics import HttpMetrics
from adapters.web.operator_routes import OperatorRoutes
from adapters.web.readiness import Readiness
from adapters.web.route import Route
from adapters.web.route_table import RouteTable
from composition.config.settings import Settings
from composition.wiring.dependency_monitor import all_dependencies
from composition.wiring.platform import Platform
from composition.wiring.stores import Stores
from composition.wiring.use_cases import UseCases
from domain.addresses import Network
from plugins.version import service_version

TITLE = "Credit System"

_log = logging.getLogger("credit.edge")


def build_framework(routes: Sequence[Route], platform: Platform, settings: Settings) -> Quart:
    """Quart for the event loop at hand."""
    return create_app(
        _quart_class(platform.runtime.name),
        routes,
        runtime=platform.runtime,
        title=TITLE,
        version=service_version(),
        body_bytes_max=settings.max_body_bytes,
        body_seconds_max=settings.body_timeout_ms / 1000,
    )


def _quart_class(runtime: str) -> type[Quart]:
    if runtime == "trio":
        from quart_trio import QuartTrio  # noqa: PLC0415 - trio costs the others' start

        return QuartTrio
    return Quart


def build_sockets(platform: Platform, settings: Settings, use_cases: UseCases) -> SocketApplication:
    """The WebSocket application."""
    return SocketApplication(
        runtime=platform.runtime,
        clock=platform.clock,
        switchboard=use_cases.realtime,
        messages=use_cases.messages,
        metrics=platform.metrics,
        origins=settings.websocket_origins,
    )


def build_guard(
    *,
    routes: Sequence[Route],
    framework: Application,
    sockets: Application,
    platform: Platform,
    settings: Settings,
    stores: Stores,
    use_cases: UseCases,
) -> Application:
    """What the server calls for every request and every connection."""

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        application = sockets if scope["type"] == "websocket" else framework
        await application(scope, receive, send)

    return Guard(
        behind,
        routes=RouteTable(routes),
        addresses=_address_rules(settings),
        credentials=CredentialVerifier(api_keys=use_cases.api_keys, tokens=use_cases.bearer_tokens),
        limiter=use_cases.rate_limiter,
        operations=OperatorRoutes(
            readiness=Readiness(probes=all_dependencies(stores, use_cases.ledger), runtime=platform.runtime),
            metrics=platform.metrics,
            runtime=platform.runtime,
            metrics_token=settings.metrics_token,
        ),
        cors=Cors(settings.cors_origins),
        metrics=HttpMetrics(platform.metrics),
        runtime=platform.runtime,
        entropy=platform.entropy,
    )


def _address_rules(settings: Settings) -> AddressRules:
    _warn_of_all(settings.trusted_proxies, "CREDIT_TRUSTED_PROXIES", "each client chooses its own address")
    _warn_of_all(settings.allowlist, "CREDIT_ALLOWLIST", "none of them is counted or banned")
    return AddressRules(trusted_proxies=settings.trusted_proxies, allowlist=settings.allowlist)


def _warn_of_all(networks: Sequence[Network], variable: str, so: str) -> None:
    """A prefix such as `64:ff9b::/96` does not look like all of a family, which it is."""
    for network in networks:
        if network.prefixlen == 0:
            _log.warning("%s holds every IPv%s address: %s", variable, network.version, so)
