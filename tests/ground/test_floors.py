"""What import-linter cannot say: an allow-list for the domain, and the ways to a clock without an import."""

from __future__ import annotations

import ast

import pytest

from tests.ground.sources import called, imported, modules

# The standard library's pure parts: they compute, and know no time, chance, file, network or other task.
PURE = frozenset(
    {
        *(
            "__future__",
            "abc",
            "base64",
            "binascii",
            "bisect",
            "collections",
            "copy",
            "dataclasses",
            "datetime",
        ),
        *("decimal", "enum", "fractions", "functools", "hashlib", "heapq", "hmac", "ipaddress", "itertools"),
        *("json", "math", "operator", "re", "string", "struct", "types", "typing", "unicodedata", "zlib"),
    }
)

IMPURE_CALLS = frozenset({"open", "print", "input", "eval", "exec", "compile", "__import__", "id", "hash"})
CLOCKS = (".now", ".utcnow", ".today")


def impurities(source: str) -> list[str]:
    """Each import and call of a domain module that is not pure, with its line."""
    wrong = [
        f"line {line}: imports {name}"
        for line, name in imported(source)
        if name.partition(".")[0] not in PURE | {"domain"}
    ]
    wrong += [
        f"line {line}: calls {name}"
        for line, name in called(source)
        if name.endswith(CLOCKS) or (name in IMPURE_CALLS and line not in own_hashes(source))
    ]
    return wrong


def own_hashes(source: str) -> set[int]:
    """The lines of `__hash__` methods: what a dictionary asks a value for never reaches a decision."""
    return {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.name == "__hash__"
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }


def test_a_value_may_say_what_its_hash_is() -> None:
    assert not impurities("class Name:\n    def __hash__(self):\n        return hash(self.text)")


def test_the_domain_imports_only_itself_and_the_pure_standard_library() -> None:
    found = {path: impurities(source) for path, source in modules("domain")}
    assert found
    assert {path: wrong for path, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "def decide():\n    from random import random",
        "import os.path",
        "import msgspec",
        "from ports.clock import Clock",
        "from datetime import datetime\nmoment = datetime.now()",
        "import datetime\nday = datetime.date.today()",
        "text = open('file').read()",
        # Differs from process to process: a decision that hangs on it cannot be replayed.
        "bucket = hash(name) % 7",
    ],
)
def test_an_impure_domain_module_is_found(source: str) -> None:
    assert impurities(source)


HINTS = frozenset({"get_type_hints", "get_args", "get_origin", "get_annotations"})
ANNOTATIONS = HINTS | {"__annotations__", "__dataclass_fields__", "__match_args__"}
IMPORTED = HINTS | {"fields", "signature"}


def introspections(source: str) -> list[str]:
    """Where a module asks for its own annotations, which a compiled module has lost."""
    return [
        f"line {node.lineno}: {name}"
        for node in ast.walk(ast.parse(source))
        for name in (
            [alias.name for alias in node.names if alias.name in IMPORTED]
            if isinstance(node, ast.ImportFrom)
            else [node.attr]
            if isinstance(node, ast.Attribute) and node.attr in ANNOTATIONS
            else []
        )
        if isinstance(node, ast.ImportFrom | ast.Attribute)
    ]


def test_no_module_of_the_domain_reads_annotations() -> None:
    found = {path: introspections(source) for path, source in modules("domain")}
    assert {path: lines for path, lines in found.items() if lines} == {}


@pytest.mark.parametrize(
    "source",
    ["from typing import get_type_hints", "from dataclasses import fields", "hints = Lot.__annotations__"],
)
def test_a_module_that_reads_annotations_is_found(source: str) -> None:
    assert introspections(source)
