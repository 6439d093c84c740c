"""Which plugins there are, and what they may register."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

import plugins.registry
from credit_system import Route
from domain.identity.access import PUBLIC
from plugins.connection_api import CONNECTION_API, ConnectionAPI
from plugins.main.plugin import MainPlugin
from plugins.registry import ENTRY_POINT_GROUP, available_plugins
from ports.runtime import Runtime
from tests.adapters.web.probe_routes import done
from tests.adapters.web.service import Options, open_service
from tests.conformance.runtimes import Driver


class OutsidePlugin:
    name = "outside"
    version = "7"

    def initialize(self, context: object) -> None:
        """Registers nothing."""


def test_the_built_in_plugins_come_first_and_load() -> None:
    main, admin, credits_, *_ = available_plugins()
    assert [(entry.name, entry.origin) for entry in (main, admin, credits_)] == [
        ("main", "built-in"),
        ("admin", "built-in"),
        ("credits", "built-in"),
    ]
    assert isinstance(main.load(), MainPlugin)
    assert admin.load().name == "admin"
    assert credits_.load().name == "credits"


def test_outside_plugins_are_found_by_their_entry_points_and_imported_only_when_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points = [
        EntryPoint("outside", "tests.plugins.test_plugins:OutsidePlugin", ENTRY_POINT_GROUP),
        EntryPoint("broken", "no.such.module:Plugin", ENTRY_POINT_GROUP),
    ]

    def entry_points(**selection: Any) -> list[EntryPoint]:
        assert selection == {"group": ENTRY_POINT_GROUP}
        return points

    monkeypatch.setattr(plugins.registry, "entry_points", entry_points)
    *_, broken, outside = available_plugins()
    assert [broken.name, outside.name] == ["broken", "outside"]
    assert outside.load().version == "7"
    with pytest.raises(ModuleNotFoundError):
        broken.load()


def test_the_main_plugin_offers_its_module_to_others(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        api = service.modules[CONNECTION_API]
        assert isinstance(api, ConnectionAPI)
        assert api.users is service.users

    run_real(body)


@pytest.mark.parametrize(
    ("path", "name", "fault"),
    [("/users/me", "another", "GET /users/me"), ("/another", "show_me", "show_me")],
)
def test_two_routes_of_one_place_or_one_name_stop_the_start(
    run_real: Driver, path: str, name: str, fault: str
) -> None:
    async def body(runtime: Runtime) -> None:
        with pytest.raises(ValueError, match=fault):
            open_service(runtime, Options(routes=[Route("GET", path, name, PUBLIC, done)]))

    run_real(body)
