"""Run by a bare environment: carries out every import that what ships may ever carry out, and prints those
that fail, one a line. Imports within functions are tried, too: they are the ones that a start does not meet.

The arguments are folders of the packages, and `--absent NAME` for each module that may be missing.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("packages", nargs="+", type=Path)
    parser.add_argument("--absent", action="append", default=[])
    parsed = parser.parse_args()
    wanted: dict[str, str] = {}
    for package in parsed.packages:
        for file in sorted(package.rglob("*.py")):
            module = ".".join(file.relative_to(package.parent).with_suffix("").parts)
            wanted.setdefault(module.removesuffix(".__init__"), module)
            for name in imported(file):
                wanted.setdefault(name, module)
    failures = [line for name, module in wanted.items() if (line := failure(name, module, parsed.absent))]
    sys.stdout.write("".join(f"{line}\n" for line in failures))
    sys.stdout.write(f"{len(wanted)} imports\n")
    return 1 if failures else 0


def imported(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module


def failure(name: str, module: str, absent: list[str]) -> str | None:
    if name.endswith("__main__"):
        return None
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] in absent:
            return None
        return f"{module} imports {name}: {error}"
    except Exception as error:  # noqa: BLE001 - whatever an import raises is what is looked for
        return f"{module} imports {name}: {type(error).__name__}: {error}"
    return None


if __name__ == "__main__":
    sys.exit(main())
