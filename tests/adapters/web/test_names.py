"""One name, one meaning, in what HTTP is made of."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator

from tests.ground.sources import modules


def test_a_constant_or_type_is_defined_once_for_the_web_and_the_identity_routes() -> None:
    where = defaultdict[str, list[str]](list)
    for path, source in modules("adapters/web", "plugins/main"):
        for name in _defined(source):
            where[name].append(path)
    assert {name: paths for name, paths in where.items() if len(paths) > 1} == {}


def _defined(source: str) -> Iterator[str]:
    """Public names of the module's own constants, type aliases and classes."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            names = [node.name]
        elif isinstance(node, ast.Assign):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names = [node.target.id]
        else:
            continue
        yield from (name for name in names if not name.startswith("_"))
