"""What the documents name exists, and what exists and must be named is named."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from composition.commands.cli import main
from tests.ground.sources import FLOORS, PROJECT, modules
from tests.readme.walk import blocks

DOCS = PROJECT / "docs"
PAGES = (
    PROJECT / "README.md",
    PROJECT / "CHANGELOG.md",
    PROJECT / "secrets" / "README.md",
    *DOCS.rglob("*.md"),
)
DECISION_LINES_MAX = 60

_LINK = re.compile(r"\]\((?!https?://)([^)#\s]+)(?:#[^)]*)?\)")
_PATH = re.compile(
    # `application/json` and its like are media types, not files.
    rf"(?<![\w/.-])(?!application/(?:problem\+)?json)"
    rf"((?:{'|'.join(FLOORS)}|tests|docs|requirements)/[\w/.-]*\w(?:\.\w+)?/?)(?![\w…])",
    re.ASCII,
)
_SETTING = re.compile(r"\bCREDIT_[A-Z_]*[A-Z]\b(?!_)")
_METRIC = re.compile(r"^\| `(credit_\w+)` \| (.*?) \|", re.MULTILINE)


@pytest.fixture(params=PAGES, ids=lambda page: page.relative_to(PROJECT).as_posix())
def page(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


def test_every_link_leads_somewhere(page: Path) -> None:
    links = _LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_file_that_is_named_exists(page: Path) -> None:
    named = set(_PATH.findall(page.read_text(encoding="utf-8")))
    assert {path for path in named if not (PROJECT / path).exists()} == set()


def test_every_setting_that_is_named_exists(page: Path) -> None:
    known = set(_SETTING.findall((DOCS / "configuration.md").read_text(encoding="utf-8")))
    assert set(_SETTING.findall(page.read_text(encoding="utf-8"))) - known == set()


def test_every_fence_is_closed_and_says_what_it_holds(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = list(blocks(text))
    assert len(re.findall(r"^```", text, re.MULTILINE)) == 2 * len(found)
    assert [block.line for block in found if not block.words] == []


def test_a_decision_has_its_three_parts_and_stays_short() -> None:
    pages = sorted((DOCS / "decisions").glob("0*.md"))
    assert pages
    listed = (DOCS / "decisions" / "README.md").read_text(encoding="utf-8")
    for path in pages:
        text = path.read_text(encoding="utf-8")
        assert re.findall(r"^## (.*)", text, re.MULTILINE) == ["Context", "Decision", "Consequences"], path
        assert text.count("\n") < DECISION_LINES_MAX, path
        title = text.splitlines()[0].removeprefix("# ")
        assert f"{title.split('. ', 1)[0]}. [{title.split('. ', 1)[1]}]({path.name})" in listed


def test_every_flow_has_its_diagram_and_says_what_happens_when_the_client_goes() -> None:
    listed = (DOCS / "flows" / "README.md").read_text(encoding="utf-8")
    for path in sorted((DOCS / "flows").glob("*.md")):
        if path.name == "README.md":
            continue
        text = path.read_text(encoding="utf-8")
        diagrams = [block.body for block in blocks(text) if block.words == ("mermaid",)]
        assert diagrams, path
        assert diagrams[0].startswith("sequenceDiagram\n"), path
        assert "**The client goes away.**" in text or "**Clients at shutdown.**" in text, path
        assert f"]({path.name})" in listed


def metrics_in_the_code() -> dict[str, tuple[str, ...]]:
    """Name and labels of every `Metric(…)` of ours that is written out under the floors."""
    found = {}
    for _, source in modules(*FLOORS):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Metric" and len(node.args) > 2:
                labels = [*node.args[3:4], *(each.value for each in node.keywords if each.arg == "labels")]
                name, names = node.args[0], labels[0] if labels else ast.Tuple([])
                if isinstance(name, ast.Constant) and str(name.value).startswith("credit_"):
                    found[str(name.value)] = tuple(ast.literal_eval(names))
    return found


def test_operators_are_told_of_every_metric_and_of_no_other() -> None:
    text = (DOCS / "operations.md").read_text(encoding="utf-8")
    told = {name: tuple(re.findall(r"`(\w+)`", labels)) for name, labels in _METRIC.findall(text)}
    assert told == metrics_in_the_code()


@pytest.mark.parametrize("command", ["serve", "doctor", "secrets init", "user create", "api-key create"])
def test_every_option_that_operators_are_told_of_is_taken(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main([*command.split(), "--help"])
    offered = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    if command == "serve":
        text = (DOCS / "operations.md").read_text(encoding="utf-8")
        told = {
            name
            for row in re.findall(r"^\| (`--.*?) \|", text, re.MULTILINE)
            for name in re.findall(r"--[a-z-]+", row)
        }
        assert told == offered - {"--help"}
    else:
        assert f"creditctl {command}" in (DOCS / "operations.md").read_text(encoding="utf-8")


def test_every_command_is_in_the_changelog(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    commands = re.findall(r"^    ([a-z-]+) ", capsys.readouterr().out, re.MULTILINE)
    text = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert commands
    assert [command for command in commands if not re.search(rf"`(creditctl )?{command}\b", text)] == []
