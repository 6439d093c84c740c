"""`docs/public-api.md`, printed from what `credit_system` exports."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator, Mapping
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import credit_system

HEAD = """\
# The public API of plugins

Printed by `python -m composition.commands.public_api_page > docs/public-api.md`; a test holds page and code
together, and each name to the CHANGELOG.

`import credit_system` gives all of it; [plugins](plugins.md) says how it is used. A name that stands here
keeps its meaning within a major version. Methods are described where the name is defined.
"""
SUBJECTS: Mapping[str, str] = {
    "plugins": "Plugins",
    "web": "HTTP",
    "asgi": "HTTP",
    "identity": "Identity",
    "ledger": "Ledger",
    "limits": "Limits",
    "realtime": "Realtime",
    "documents": "Documents",
}
"""The heading of a name, by the capability that its module belongs to; all others stand under the last."""
REST = "Around them"


class PublicName(NamedTuple):
    name: str
    module: str
    """Where it is defined."""

    @property
    def subject(self) -> str:
        floor, _, rest = self.module.partition(".")
        return SUBJECTS.get(floor) or SUBJECTS.get(rest.partition(".")[0]) or REST

    @property
    def description(self) -> str:
        """Its docstring, or the text below the constant; empty where there is none."""
        value = getattr(credit_system, self.name)
        if inspect.isclass(value) or inspect.isfunction(value):
            own = vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__
            return inspect.cleandoc(own or "")
        return _below(self.module).get(self.name, "")


def public_names() -> list[PublicName]:
    """All that is exported, as the face writes it down: by module, then by name."""
    tree = ast.parse(Path(credit_system.__file__).read_text(encoding="utf-8"))
    found = [
        PublicName(alias.name, node.module)
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and node.module is not None
        for alias in node.names
        if alias.name in credit_system.__all__
    ]
    return sorted(found)


def page() -> str:
    names = public_names()
    headings = [*dict.fromkeys(SUBJECTS.values()), REST]
    return HEAD + "".join(
        f"\n## {heading}\n\n| name | |\n|---|---|\n" + "".join(_rows(names, heading)) for heading in headings
    )


def _rows(names: list[PublicName], heading: str) -> Iterator[str]:
    for each in names:
        if each.subject == heading:
            first = each.description.split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
            yield f"| `{each.name}` | {first} |\n"


def _below(module: str) -> dict[str, str]:
    """The texts that stand below a module's constants and type aliases."""
    tree = ast.parse(inspect.getsource(import_module(module)))
    found = {}
    for node, after in pairwise(tree.body):
        target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
        if isinstance(target, ast.Name) and isinstance(after, ast.Expr):
            text = ast.literal_eval(after.value) if isinstance(after.value, ast.Constant) else ""
            found[target.id] = inspect.cleandoc(text)
    return found


if __name__ == "__main__":
    print(page(), end="")
