"""docs/architecture.md draws the tree as it is, on two pages."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from tests.ground.sources import FLOORS, PROJECT

PAGE = (PROJECT / "docs" / "architecture.md").read_text(encoding="utf-8")
LINES_MAX = 110
"""Two printed pages."""

_PATH = re.compile(r"`([\w/]+(?:\.py|/))`")


def drawn() -> set[str]:
    """The paths in the tables of capabilities and modules."""
    tables = PAGE[PAGE.index("## Capabilities") : PAGE.index("## How data flows")]
    return {path for line in tables.splitlines() if line.startswith("|") for path in _PATH.findall(line)}


def children(floor: str) -> set[str]:
    """The modules and packages that stand directly on a floor."""
    found = (PROJECT / floor).iterdir()
    return {
        f"{floor}/{each.name}" if each.is_file() else f"{floor}/{each.name}/"
        for each in found
        if (each.suffix == ".py" and each.name != "__init__.py") or (each / "__init__.py").exists()
    }


def test_every_module_and_package_of_a_floor_is_drawn() -> None:
    assert {floor: sorted(children(floor) - drawn()) for floor in FLOORS} == {floor: [] for floor in FLOORS}


def test_nothing_is_drawn_that_is_not_there() -> None:
    assert [path for path in sorted(drawn()) if not (PROJECT / path).exists()] == []


def test_the_floors_are_drawn_in_the_order_of_their_contract() -> None:
    contracts = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
        "importlinter"
    ]
    layers = next(each["layers"] for each in contracts["contracts"] if each["id"] == "floors")
    # Of a floor that has several layers, the uppermost counts.
    floors = dict.fromkeys(layer.split("|")[0].strip().partition(".")[0] for layer in layers)
    places = [PAGE.index(f"\n{floor}/") for floor in floors]
    assert places == sorted(places)


def test_a_capability_has_one_name_on_every_floor() -> None:
    words = {each.name for each in (PROJECT / "domain").iterdir() if (each / "__init__.py").exists()}
    assert words == {"documents", "encryption", "identity", "ledger", "limits", "realtime"}
    for floor in ("ports", "application"):
        packages = {each.name for each in (PROJECT / floor).iterdir() if (each / "__init__.py").exists()}
        # The audit log has one file where it needs no folder.
        assert packages - words <= {"audit"}, floor
    assert Path(PROJECT / "ports" / "encryption").is_dir()


def test_the_page_fits_two_pages() -> None:
    assert PAGE.count("\n") <= LINES_MAX
