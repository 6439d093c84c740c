"""What a plugin is, and what it may ask of the service it is put into."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from adapters.web.route import Route
from domain.documents.document import Collection, FieldKind
from domain.encryption.policies import Encrypted
from ports.metrics import Instrument, Metric

Service = TypeVar("Service")

HookCallback = Callable[[object], Awaitable[None] | None]
"""Given the event's payload, a frozen value that the event's documentation names. One that fails
is reported and harms no other."""

HOOK_PRIORITY_DEFAULT = 100
"""Of a callback that names none; the lowest priority is called first."""

SERVICE_STARTED = "service.started"
"""Hook event: everything runs, the first request is about to be accepted. The payload is None."""


class PluginContext(Protocol):
    """Open only while a plugin is initialised; what is registered lives as long as the service."""

    def service(self, key: str, kind: type[Service]) -> Service:
        """The singleton registered under this key. `LookupError` when there is none, `TypeError`
        when it is not of this kind."""

    def register_module(self, key: str, module: object) -> None:
        """Offers a feature's use cases to other plugins under a key of its own; `ValueError` when
        the key is taken."""

    def module(self, key: str, kind: type[Service]) -> Service:
        """What a plugin initialised before this one offers. `LookupError` when there is none, `TypeError`
        when it is not of this kind."""

    def register_collection(
        self,
        name: str,
        *,
        fields: Mapping[str, FieldKind],
        indexes: Sequence[Sequence[str]] = (),
        partition: str | None = None,
        encrypted: Mapping[str, Encrypted] | None = None,
    ) -> Collection:
        """A place for documents of this plugin, under its name; see `Collection`."""

    def register_routes(self, routes: Sequence[Route]) -> None:
        """Adds HTTP routes; `ValueError` when a method and path, or a route's or shape's name, is taken."""

    def register_hook(
        self, event: str, callback: HookCallback, priority: int = HOOK_PRIORITY_DEFAULT
    ) -> None:
        """Calls back at each such event, in order of priority, the lowest first."""

    def register_metric(self, metric: Metric) -> Instrument:
        """The instrument for this metric; the same one when it is registered again."""


class Plugin(Protocol):
    """A feature of the service: modules, routes, hooks, metrics."""

    @property
    def name(self) -> str:
        """Unique, snake_case."""

    @property
    def version(self) -> str:
        """As operators see it in the log at the start."""

    def initialize(self, context: PluginContext) -> None:
        """Registers all it offers, before the service starts; no I/O. What it raises stops the start."""
