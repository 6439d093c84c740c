"""Builds, starts and stops the service, in order. It holds no rule of the product."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from adapters.asgi.types import Application
from application.audit.retention import AuditRetention
from application.encryption.field_sweep import FieldSweep
from application.identity.active_sessions import ActiveSessions
from application.ledger.announcer import LEDGER_COMMITTED
from application.ledger.committed import CommittedBatch
from composition.config.secrets import Secrets
from composition.config.settings import Settings
from composition.managers.hooks_manager import HooksManager
from composition.managers.module_manager import ModuleManager
from composition.managers.plugin_context import OpenContext, RouteList
from composition.managers.plugin_manager import PluginManager
from composition.managers.services_manager import ServicesManager
from composition.wiring.dependency_monitor import DependencyMonitor, all_dependencies
from composition.wiring.edge import build_framework, build_guard, build_sockets
from composition.wiring.platform import Platform
from composition.wiring.ring_watch import RingWatch
from composition.wiring.stores import Stores
from composition.wiring.use_cases import UseCases, build_use_cases
from domain.identity.api_keys import DEFAULT_BOOK
from plugins.plugin import SERVICE_STARTED, Plugin
from plugins.registry import PluginEntry, available_plugins
from ports.ledger.journal import UnreadableBook

Part = TypeVar("Part")

_log = logging.getLogger("credit.service")


class AppManager:
    """The service of one process. `start` and `stop` are called once each, inside of `Runtime.running`."""

    def __init__(
        self,
        *,
        platform: Platform,
        settings: Settings,
        secrets: Secrets,
        open_stores: Callable[[], Awaitable[Stores]],
        plugins: Callable[[], Iterable[PluginEntry]] = available_plugins,
    ) -> None:
        self._platform = platform
        self._settings = settings
        self._secrets = secrets
        self._open_stores = open_stores
        self._available = plugins
        self._application: Application | None = None
        self._framework: Application | None = None
        self._use_cases: UseCases | None = None
        self._close_sockets: Callable[[], Awaitable[None]] | None = None
        self.services = ServicesManager(runtime=platform.runtime)
        self.modules = ModuleManager()
        self.hooks = HooksManager()
        self.plugins = PluginManager()
        self.routes = RouteList()

    @property
    def application(self) -> Application:
        """The application for HTTP and WebSocket. Raises `RuntimeError` before the start."""
        return _started(self._application)

    @property
    def framework(self) -> Application:
        """The web framework, for its lifespan. Raises `RuntimeError` before the start."""
        return _started(self._framework)

    @property
    def use_cases(self) -> UseCases:
        """The use cases, for commands on a running service. Raises `RuntimeError` before the start."""
        return _started(self._use_cases)

    async def start(self) -> None:
        """Opens the stores, builds everything and starts it.

        Raises `DependencyUnavailable` or `PluginFailed`, after closing what it had opened.
        """
        stores = await self._open_stores()
        # Started first and stopped last, since everything else needs it.
        self.services.register("stores", stores, start=stores.start, stop=stores.stop)
        try:
            use_cases = self._build(stores)
        except BaseException:
            await self._platform.runtime.shielded(stores.stop, name="stores-stop")
            raise
        await self.services.start()
        self._use_cases = use_cases
        await self.hooks.trigger(SERVICE_STARTED, None)
        _log.info(
            "service started",
            extra={
                "runtime": self._platform.runtime.name,
                "plugins": ",".join(loaded.plugin.name for loaded in self.plugins.loaded),
            },
        )

    async def drain(self) -> None:
        """Closes the WebSockets, with a close code for their clients. Requests go on."""
        if self._close_sockets is not None:
            await self._close_sockets()

    async def stop(self) -> None:
        """Stops what was started, in reverse. May be called again, and after a start that failed."""
        await self.drain()
        await self.services.stop()

    def _build(self, stores: Stores) -> UseCases:
        platform, settings = self._platform, self._settings
        use_cases = build_use_cases(
            platform, settings, self._secrets, stores, announce=self._announce_committed
        )
        self._register(use_cases, stores)
        self.plugins.register_plugins(self._available(), self._context)
        framework = build_framework(self.routes.routes, platform, settings)
        sockets = build_sockets(platform, settings, use_cases)
        self._close_sockets = sockets.close_all
        # Quart types as TypedDicts what every other layer types as plain mappings.
        self._framework = framework  # type: ignore[assignment]
        self._application = build_guard(
            routes=self.routes.routes,
            framework=framework,  # type: ignore[arg-type]  # as above
            sockets=sockets,
            platform=platform,
            settings=settings,
            stores=stores,
            use_cases=use_cases,
        )
        return use_cases

    def _register(self, use_cases: UseCases, stores: Stores) -> None:
        """Registers the services in the order of their start."""
        platform, services = self._platform, self.services
        services.register("runtime", platform.runtime)
        services.register("clock", platform.clock)
        services.register("entropy", platform.entropy)
        services.register("metrics", platform.metrics)
        services.register("settings", self._settings)
        services.register("users", use_cases.users)
        watch = RingWatch(
            use_cases.token_keys, reload_fields=use_cases.field_encryption.reload, runtime=platform.runtime
        )
        services.register("key_watch", watch, start=watch.start, stop=watch.stop)
        services.register("idempotency", use_cases.idempotency)
        services.register("tokens", use_cases.tokens)
        services.register("sessions", use_cases.sessions)
        services.register("api_keys", use_cases.api_keys, stop=use_cases.api_keys.flush_last_used)
        services.register("audit_trail", use_cases.audit_trail, stop=use_cases.audit_trail.stop)
        services.register("audit_reader", use_cases.audit_reader)
        services.register("rate_limiter", use_cases.rate_limiter)
        moderation = use_cases.moderation
        services.register("moderation", moderation, start=moderation.start, stop=moderation.stop)
        services.register("documents", use_cases.documents, start=use_cases.documents.start)
        realtime = use_cases.realtime
        services.register("realtime", realtime, start=realtime.start, stop=realtime.stop)
        revocations = use_cases.revocation_watch
        services.register("revocation_watch", revocations, start=revocations.start, stop=revocations.stop)

        async def start_ledger() -> None:
            # Opened now, so that no request waits for the replay of the journal's tail.
            try:
                await use_cases.ledger.head(DEFAULT_BOOK)
            except UnreadableBook as error:
                # The rest of the service runs, and readiness names the ledger.
                _log.error("the book %s is closed: %s", DEFAULT_BOOK, error)
            use_cases.ledger.start()

        services.register("ledger", use_cases.ledger, start=start_ledger, stop=use_cases.ledger.stop)
        self._register_upkeep(use_cases, stores)

    def _register_upkeep(self, use_cases: UseCases, stores: Stores) -> None:
        """Registers what looks after the stores, and measures them, in the background."""
        platform, services = self._platform, self.services
        monitor = DependencyMonitor(
            dependencies=all_dependencies(stores, use_cases.ledger),
            runtime=platform.runtime,
            metrics=platform.metrics,
            interval_s=self._settings.probe_interval_ms / 1000,
        )
        services.register("dependency_monitor", monitor, start=monitor.start, stop=monitor.stop)
        retention = AuditRetention(
            runtime=platform.runtime,
            clock=platform.clock,
            log=stores.audit,
            kept_ms=self._settings.audit_retention_ms,
        )
        services.register("audit_retention", retention, start=retention.start, stop=retention.stop)
        sweep = FieldSweep(
            collections=stores.encrypted_collections,
            writing_id=use_cases.field_encryption.writing_id,
            runtime=platform.runtime,
            metrics=platform.metrics,
            delay_s=self._settings.reencryption_delay_ms / 1000,
        )
        services.register("field_sweep", sweep, start=sweep.start, stop=sweep.stop)
        active = ActiveSessions(
            sessions=stores.sessions,
            runtime=platform.runtime,
            clock=platform.clock,
            metrics=platform.metrics,
        )
        services.register("active_sessions", active, start=active.start, stop=active.stop)

    def _context(self, plugin: Plugin) -> OpenContext:
        return OpenContext(
            plugin=plugin.name,
            services=self.services,
            modules=self.modules,
            hooks=self.hooks,
            routes=self.routes,
            metrics=self._platform.metrics,
        )

    async def _announce_committed(self, batch: CommittedBatch) -> None:
        await self.hooks.trigger(LEDGER_COMMITTED, batch)


def _started(part: Part | None) -> Part:
    if part is None:
        raise RuntimeError("the service has not started")
    return part
