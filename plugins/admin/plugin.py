"""The admin plugin: routes under `/admin`, over use cases that `creditctl` shares."""

from __future__ import annotations

from application.audit.reader import AuditReader
from application.limits.moderation import Moderation
from credit_system import Idempotency, Plugin, PluginContext, service_version
from plugins.admin.routes.audit import audit_routes
from plugins.admin.routes.bans import ban_routes
from plugins.admin.routes.limits import limit_routes


class AdminPlugin:
    """Asks for the services `moderation`, `audit_reader` and `idempotency`."""

    @property
    def name(self) -> str:
        return "admin"

    @property
    def version(self) -> str:
        return service_version()

    def initialize(self, context: PluginContext) -> None:
        moderation = context.service("moderation", Moderation)
        idempotency = context.service("idempotency", Idempotency)
        context.register_routes(ban_routes(moderation, idempotency))
        context.register_routes(limit_routes(moderation, idempotency))
        context.register_routes(audit_routes(context.service("audit_reader", AuditReader)))


def _proof(plugin: AdminPlugin) -> Plugin:
    """mypy holds the plugin to the protocol here."""
    return plugin
