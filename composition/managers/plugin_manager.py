"""Loads and initialises the plugins of the registry."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from plugins.plugin import Plugin, PluginContext
from plugins.registry import PluginEntry

_log = logging.getLogger(__name__)


class PluginFailed(Exception):
    """A plugin cannot be used. The service does not start without an installed plugin."""

    def __init__(self, entry: PluginEntry, step: str, error: Exception) -> None:
        super().__init__(
            f"the plugin {entry.name!r} ({entry.origin}) {step}: {type(error).__name__}: {error}"
        )
        self.entry = entry


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """An initialised plugin and its origin."""

    plugin: Plugin
    origin: str


class PluginManager:
    """Knows the plugins, but nothing of their features."""

    def __init__(self) -> None:
        self._loaded: dict[str, LoadedPlugin] = {}

    @property
    def loaded(self) -> tuple[LoadedPlugin, ...]:
        """The plugins in the order of initialisation."""
        return tuple(self._loaded.values())

    def register_plugins(
        self, entries: Iterable[PluginEntry], context_for: Callable[[Plugin], PluginContext]
    ) -> None:
        """Loads and initialises each plugin in turn. Raises `PluginFailed`."""
        for entry in entries:
            try:
                plugin = entry.load()
                name, version = plugin.name, plugin.version
            except Exception as error:
                raise PluginFailed(entry, "cannot be loaded", error) from error
            if name in self._loaded:
                taken = ValueError(f"there is a plugin {name!r} from {self._loaded[name].origin} already")
                raise PluginFailed(entry, "cannot be loaded", taken)
            try:
                plugin.initialize(context_for(plugin))
            except Exception as error:
                raise PluginFailed(entry, "failed to initialise", error) from error
            self._loaded[name] = LoadedPlugin(plugin, entry.origin)
            _log.info("plugin ready", extra={"plugin": name, "version": version, "origin": entry.origin})
