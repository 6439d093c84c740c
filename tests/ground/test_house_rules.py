"""Rules of the house that no linter of ours knows."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.ground.sources import FLOORS, PROJECT, modules

FUNCTION_LINES_MAX = 60

# A module is named for what it holds. The five managers are the product's own words.
EMPTY_NAMES = re.compile(r"(?:/|_)(utils?|helpers?|common|base|misc|managers?)$")
MANAGERS = frozenset(
    f"composition/managers/{name}_manager.py" for name in ("app", "services", "module", "plugin", "hooks")
)


def long_functions(source: str) -> Iterator[str]:
    """Functions of more than `FUNCTION_LINES_MAX` lines: they no longer fit a screen."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION_LINES_MAX:
                yield f"{node.name}: {lines} lines"


def test_a_function_fits_a_screen() -> None:
    found = {path: list(long_functions(source)) for path, source in modules(*FLOORS)}
    assert {path: functions for path, functions in found.items() if functions} == {}


def test_a_function_of_61_lines_is_found() -> None:
    body = "    pass\n"
    assert list(long_functions("def fits():\n" + body * 59)) == []
    assert list(long_functions("async def long():\n" + body * 60)) == ["long: 61 lines"]


def test_a_module_is_named_for_what_it_holds() -> None:
    empty = {path for path, _ in modules(*FLOORS) if EMPTY_NAMES.search(path.removesuffix(".py"))}
    assert empty - MANAGERS == set()


def test_the_secrets_folder_is_no_package_and_git_ignores_what_is_in_it() -> None:
    # A package there would shadow the standard library's `secrets`.
    assert not (PROJECT / "secrets" / "__init__.py").exists()
    ignored = (PROJECT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert "/secrets/*" in ignored


@pytest.mark.parametrize("name", ["build", "runtime", "dev", "servers", "valkey", "clients"])
def test_pinned_requirements_carry_hashes_and_name_no_index(name: str) -> None:
    text = (PROJECT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
    lines = [line.strip() for line in text.replace("\\\n", " ").splitlines()]
    requirements = [line for line in lines if line and not line.startswith("#")]
    assert requirements
    assert [line for line in requirements if "==" not in line or "--hash=sha256:" not in line] == []
    assert "://" not in text
    assert not re.search(r"--(extra-)?index-url|--find-links|--trusted-host", text)


def test_every_runtime_package_is_at_the_same_version_for_developers() -> None:
    def pins(name: str) -> set[str]:
        text = (PROJECT / "requirements" / f"{name}.txt").read_text(encoding="utf-8")
        return set(re.findall(r"^[a-z0-9.-]+==[^ ]+", text, re.MULTILINE))

    assert pins("runtime") | pins("build") <= pins("dev")
