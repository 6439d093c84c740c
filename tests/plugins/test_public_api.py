"""What plugins may import is listed, described, and announced."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys

import pytest

import credit_system
from composition.commands.public_api_page import PublicName, page, public_names
from tests.ground.sources import PROJECT

NAMES = public_names()
CHANGELOG = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_page_lists_what_is_exported() -> None:
    written = (PROJECT / "docs" / "public-api.md").read_text(encoding="utf-8")
    assert written == page()
    assert sorted(re.findall(r"^\| `(\w+)` \|", written, re.MULTILINE)) == sorted(credit_system.__all__)


def test_everything_that_the_face_imports_is_exported_and_nothing_else_is() -> None:
    tree = ast.parse((PROJECT / "credit_system" / "__init__.py").read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
    }
    assert set(credit_system.__all__) == imported
    assert [type(node).__name__ for node in tree.body if not isinstance(node, ast.ImportFrom)] == [
        "Expr",
        "Assign",
    ]


def test_every_name_that_came_or_went_was_announced() -> None:
    # The names of a release stand in one line of its section: `added` less `removed` is what there is.
    added = _announced("The public API, `credit_system`, has")
    removed = _announced("The public API, `credit_system`, has no more")
    assert added - removed == set(credit_system.__all__)


def _announced(words: str) -> set[str]:
    found: set[str] = set()
    for listed in re.findall(rf"{re.escape(words)}:(.*?)(?:\n- |\n\n)", CHANGELOG, re.DOTALL):
        found |= set(re.findall(r"`(\w+)`", listed))
    return found


@pytest.mark.parametrize("public", NAMES, ids=lambda public: public.name)
def test_a_public_name_is_described(public: PublicName) -> None:
    assert len(public.description) > 15, f"{public.module}.{public.name}"


@pytest.mark.parametrize("public", NAMES, ids=lambda public: public.name)
def test_every_method_of_a_public_class_is_described(public: PublicName) -> None:
    value = getattr(credit_system, public.name)
    if not inspect.isclass(value):
        return
    undescribed = [
        name
        for name, member in vars(value).items()
        if not name.startswith("_")
        and callable(function := getattr(member, "fget", None) or getattr(member, "__func__", member))
        and inspect.isfunction(function)
        and not function.__doc__
    ]
    assert undescribed == []


@pytest.mark.parametrize("module", ["pymongo", "motor", "redis", "quart", "hypercorn", "trio", "composition"])
def test_the_face_costs_no_driver_server_or_framework(module: str) -> None:
    code = f"import credit_system, sys; sys.exit({module!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False).returncode == 0
