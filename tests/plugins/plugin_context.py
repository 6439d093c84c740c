"""A plugin's context in a test's hands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from adapters.memory.metrics import MemoryMetrics
from application.documents.service import DocumentService
from credit_system import Route
from domain.documents.document import Collection, FieldKind
from domain.encryption.policies import Encrypted
from plugins.plugin import HOOK_PRIORITY_DEFAULT, HookCallback
from ports.metrics import Instrument, Metric

Service = TypeVar("Service")

Hook = tuple[int, str, HookCallback]


@dataclass(slots=True)
class Context:
    """A plugin's context that keeps what is registered."""

    services: dict[str, object]
    metrics: MemoryMetrics
    routes: list[Route] = field(default_factory=list)
    modules: dict[str, object] = field(default_factory=dict)
    hooks: list[Hook] = field(default_factory=list)

    def service(self, key: str, kind: type[Service]) -> Service:
        instance = self.services[key]
        if not isinstance(instance, kind):
            raise TypeError(key)
        return instance

    def register_module(self, key: str, module: object) -> None:
        self.modules[key] = module

    def module(self, key: str, kind: type[Service]) -> Service:
        instance = self.modules[key]
        if not isinstance(instance, kind):
            raise TypeError(key)
        return instance

    def register_collection(
        self,
        name: str,
        *,
        fields: Mapping[str, FieldKind],
        indexes: Sequence[Sequence[str]] = (),
        partition: str | None = None,
        encrypted: Mapping[str, Encrypted] | None = None,
    ) -> Collection:
        collection = Collection("test", name, fields, tuple(map(tuple, indexes)), partition, encrypted or {})
        self.service("documents", DocumentService).declare(collection)
        return collection

    def register_routes(self, routes: Sequence[Route]) -> None:
        self.routes += routes

    def register_hook(
        self, event: str, callback: HookCallback, priority: int = HOOK_PRIORITY_DEFAULT
    ) -> None:
        """Kept, and never called: nothing here has a ledger."""
        self.hooks.append((priority, event, callback))

    def register_metric(self, metric: Metric) -> Instrument:
        return self.metrics.register(metric)
