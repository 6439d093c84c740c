"""`--against REV`: our own rows beside those of an earlier commit, in turn, in the same environment.

The commit's tree is unpacked under `.benchmarks/`; its sides run there with this interpreter, so a
commit that needs other packages has to be measured in an environment of its own.
"""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Final

from benchmarks import guard, http, ledger, machine, startup
from benchmarks.contenders import Contender, side_by_side
from benchmarks.installation import PROJECT, make_cache
from benchmarks.rows import Bench, Group, Row, row

Ours = Callable[[Bench], Contender]
Measure = tuple[str, Ours, str, str]
"""What is done, by which contender, and which figure of it counts, in which unit."""

_MANY: Final = {"callers": ledger.CALLERS, "hot": False}
_ALONE: Final = {**_MANY, "callers": 1}
MEASURES: Final[dict[str, tuple[Measure, ...]]] = {
    machine.GROUP: (
        ("pure state machine", machine.ours, "per_second", "transfers/s"),
        ("the same, with its document", machine.ours, "sealed_per_second", "transfers/s"),
    ),
    ledger.GROUP: (
        ("64 callers", lambda bench: ledger.ours(bench, _MANY), "per_second", "transfers/s"),
        (
            "one caller",
            lambda bench: ledger.ours(bench, _ALONE),
            "per_second",
            "transfers/s",
        ),
        (
            "batches of 4,096",
            lambda bench: ledger.ours(bench, {**_ALONE, "batch": ledger.BATCH}),
            "per_second",
            "transfers/s",
        ),
    ),
    guard.GROUP: (("64 tasks", lambda bench: guard.ours(bench, 64), "per_second", "decisions/s"),),
    http.GROUP: (
        ("a balance read", lambda bench: http.ours(bench, "allowed"), "per_cpu_second", "answers/CPU s"),
        ("`GET /`", lambda bench: http.ours(bench, "plain"), "per_cpu_second", "answers/CPU s"),
    ),
    startup.GROUP: (("start of a demo", startup.ours, "seconds", "s"),),
}


def groups(revision: str) -> dict[str, Group]:
    """Each group that can be measured against the commit. Raises `CalledProcessError` when there is none."""
    tree, name = unpacked(revision)

    def group_of(group: str) -> Group:
        return lambda bench: [_beside(bench, group, tree, name, each) for each in MEASURES[group]]

    return {group: group_of(group) for group in MEASURES}


def unpacked(revision: str) -> tuple[Path, str]:
    """The commit's tree in a folder of its own, and the commit's short name."""
    git = ("git", "-C", str(PROJECT))
    name = subprocess.run(
        [*git, "rev-parse", "--short", "--verify", f"{revision}^{{commit}}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    tree = make_cache() / "against" / name
    shutil.rmtree(tree, ignore_errors=True)
    archive = subprocess.run([*git, "archive", name], capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as packed:
        packed.extractall(tree, filter="data")
    return tree, name


def _beside(bench: Bench, group: str, tree: Path, name: str, measure: Measure) -> Row:
    work, contender_of, figure, unit = measure
    now = contender_of(bench)
    before = replace(now, name=f"{now.name}, {name}", directory=tree, source=tree)
    if "book" in now.configuration:
        # Neither has to read what the other wrote.
        book = f"{now.configuration['book']}-{name}"
        before = replace(before, configuration={**now.configuration, "book": book})
    comparison = side_by_side([now, before], rounds=bench.rounds, seconds=bench.seconds)
    return row(
        comparison,
        work=f"{work}, beside {name}",
        figure=figure,
        unit=unit,
        group=f"{group} --against {name}",
        against=1,
    )
