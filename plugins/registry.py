"""Which plugins this service has: the built-in ones, then those of other distributions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from plugins.plugin import Plugin

ENTRY_POINT_GROUP = "credit_system.plugins"


@dataclass(frozen=True, slots=True)
class PluginEntry:
    """A plugin that can be loaded. Its code is imported only by `load`, so that one that does not
    import is reported by name and leaves the others alone."""

    name: str
    origin: str
    """`built-in`, or the distribution that offers it."""
    load: Callable[[], Plugin]


def _load_attribute(module: str, attribute: str) -> Plugin:
    factory = cast(Callable[[], Plugin], getattr(import_module(module), attribute))
    return factory()


def _load_entry_point(point: EntryPoint) -> Plugin:
    return cast(Callable[[], Plugin], point.load())()


BUILT_IN = (
    PluginEntry("main", "built-in", partial(_load_attribute, "plugins.main.plugin", "MainPlugin")),
    PluginEntry("admin", "built-in", partial(_load_attribute, "plugins.admin.plugin", "AdminPlugin")),
    PluginEntry("credits", "built-in", partial(_load_attribute, "plugins.credits.plugin", "CreditsPlugin")),
)


def outside_plugins() -> Iterator[PluginEntry]:
    """Entry points of the group `credit_system.plugins`, by name; each names a class or a function
    that is called without arguments and gives a `Plugin`."""
    for point in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda point: point.name):
        origin = point.dist.name if point.dist is not None else "unknown"
        yield PluginEntry(point.name, origin, partial(_load_entry_point, point))


def available_plugins() -> tuple[PluginEntry, ...]:
    """In the order in which they are initialised: an outside plugin may build on the built-in ones."""
    return (*BUILT_IN, *outside_plugins())
