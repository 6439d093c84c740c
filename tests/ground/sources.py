"""The project's own Python files, parsed: what the tests of the house's rules look at."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
FLOORS = ("domain", "ports", "application", "adapters", "plugins", "credit_system", "composition")


def modules(*folders: str) -> Iterator[tuple[str, str]]:
    """Path relative to the project, and source, of every module under `folders`."""
    for folder in folders:
        for path in sorted((PROJECT / folder).rglob("*.py")):
            yield path.relative_to(PROJECT).as_posix(), path.read_text(encoding="utf-8")


def imported(source: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every import, wherever it stands in the module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or "."


def called(source: str) -> Iterator[tuple[int, str]]:
    """Line and dotted name of every call of a plain or dotted name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)
