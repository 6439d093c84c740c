from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import cast

import pytest

from composition.managers.plugin_manager import PluginFailed, PluginManager
from plugins.plugin import Plugin, PluginContext
from plugins.registry import PluginEntry


class Sample:
    version = "1.0"

    def __init__(self, name: str, initialised: list[str]) -> None:
        self.name = name
        self._initialised = initialised

    def initialize(self, context: PluginContext) -> None:
        assert context is not None
        self._initialised.append(self.name)


class Broken(Sample):
    def initialize(self, context: PluginContext) -> None:
        super().initialize(context)
        raise LookupError("no service 'weather'")


def entry(name: str, load: Callable[[], Plugin]) -> PluginEntry:
    return PluginEntry(name, "some-distribution", load)


def context_for(plugin: Plugin) -> PluginContext:
    # No plugin here asks it for anything.
    return cast(PluginContext, plugin)


def test_plugins_are_initialised_in_the_order_of_the_registry() -> None:
    seen: list[str] = []
    manager = PluginManager()
    entries = [entry(name, partial(Sample, name, seen)) for name in ("main", "credits")]
    manager.register_plugins(entries, context_for)
    assert seen == ["main", "credits"]
    assert [loaded.plugin.name for loaded in manager.loaded] == ["main", "credits"]


def test_a_plugin_that_does_not_import_is_named_with_its_origin_and_reason() -> None:
    def load() -> Plugin:
        raise ImportError("no module named 'weather'")

    with pytest.raises(
        PluginFailed, match=r"'gift' \(some-distribution\) cannot be loaded: ImportError: .*weather"
    ):
        PluginManager().register_plugins([entry("gift", load)], context_for)


def test_a_plugin_that_fails_to_initialise_is_named_with_its_reason() -> None:
    with pytest.raises(PluginFailed, match=r"'gift'.*failed to initialise: LookupError: .*weather"):
        PluginManager().register_plugins([entry("gift", lambda: Broken("gift", []))], context_for)


def test_what_is_not_a_plugin_is_named() -> None:
    with pytest.raises(PluginFailed, match=r"'gift'.*cannot be loaded"):
        PluginManager().register_plugins([entry("gift", lambda: cast(Plugin, object()))], context_for)


def test_a_name_is_taken_once() -> None:
    entries = [entry("one", lambda: Sample("main", [])), entry("two", lambda: Sample("main", []))]
    with pytest.raises(PluginFailed, match="there is a plugin 'main'"):
        PluginManager().register_plugins(entries, context_for)
