"""The managers as one plugin sees them during its initialisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from adapters.web.api_documents.openapi import check_shapes
from adapters.web.route import Route
from application.documents.service import DocumentService
from composition.managers.hooks_manager import HooksManager
from composition.managers.module_manager import ModuleManager
from composition.managers.services_manager import ServicesManager
from domain.documents.document import Collection, FieldKind
from domain.encryption.policies import Encrypted
from plugins.plugin import HOOK_PRIORITY_DEFAULT, HookCallback, PluginContext
from ports.metrics import Instrument, Metric, Metrics

Kind = TypeVar("Kind")


class RouteList:
    """Every route of the service, each unique."""

    def __init__(self) -> None:
        self._routes: list[Route] = []
        self._names: set[str] = set()
        self._places: set[tuple[str, str]] = set()

    def add(self, routes: Sequence[Route]) -> None:
        """Adds routes. Raises `ValueError` when a path, a route's name or a shape's name is taken."""
        for route in routes:
            if route.name in self._names:
                raise ValueError(f"a route {route.name!r} is registered already")
            if (route.method, route.path) in self._places:
                raise ValueError(f"the route {route.method} {route.path} is registered already")
            self._names.add(route.name)
            self._places.add((route.method, route.path))
            self._routes.append(route)
        check_shapes(self._routes)

    @property
    def routes(self) -> tuple[Route, ...]:
        return tuple(self._routes)


class OpenContext:
    """`PluginContext` for one plugin."""

    def __init__(
        self,
        *,
        plugin: str,
        services: ServicesManager,
        modules: ModuleManager,
        hooks: HooksManager,
        routes: RouteList,
        metrics: Metrics,
    ) -> None:
        self._plugin = plugin
        self._services = services
        self._modules = modules
        self._hooks = hooks
        self._routes = routes
        self._metrics = metrics

    def service(self, key: str, kind: type[Kind]) -> Kind:
        return self._services.service(key, kind)

    def register_module(self, key: str, module: object) -> None:
        self._modules.register(key, module)

    def module(self, key: str, kind: type[Kind]) -> Kind:
        return self._modules.module(key, kind)

    def register_collection(
        self,
        name: str,
        *,
        fields: Mapping[str, FieldKind],
        indexes: Sequence[Sequence[str]] = (),
        partition: str | None = None,
        encrypted: Mapping[str, Encrypted] | None = None,
    ) -> Collection:
        collection = Collection(
            self._plugin,
            name,
            dict(fields),
            tuple(map(tuple, indexes)),
            partition,
            dict(encrypted or {}),
        )
        self._services.service("documents", DocumentService).declare(collection)
        return collection

    def register_routes(self, routes: Sequence[Route]) -> None:
        self._routes.add(routes)

    def register_hook(
        self, event: str, callback: HookCallback, priority: int = HOOK_PRIORITY_DEFAULT
    ) -> None:
        self._hooks.register(event, callback, priority)

    def register_metric(self, metric: Metric) -> Instrument:
        return self._metrics.register(metric)


def _fits(context: OpenContext) -> PluginContext:
    return context
