"""A page's commands, run as they stand, and what the page says they print.

A fenced block marked ```` ```bash walk ```` belongs to the walk named `walk`; a ```` ```text ```` block right
after it is its whole output, where `…` stands for any text within a line, and a line `…` for any lines.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

WALK_S_MAX = 300.0
"""For a whole walk: the first start on a machine installs the service."""
END_OF_STEP = "--- end of step %d ---"

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block; `words` are those after the opening fence."""

    words: tuple[str, ...]
    body: str
    line: int
    follows: bool
    """Whether nothing stands between it and the block before."""


@dataclass(frozen=True, slots=True)
class Step:
    """Commands, the line of the page that they begin at, and what the page says they print."""

    commands: str
    line: int
    expected: str = ""


@dataclass(frozen=True, slots=True)
class Ran:
    """What a walk came to. `outputs` has one text for each step that ended."""

    exit_code: int
    outputs: tuple[str, ...]
    errors: str


def blocks(page: str) -> Iterator[Block]:
    """Every fenced block, in order."""
    before = 0
    for match in _FENCE.finditer(page):
        line = page.count("\n", 0, match.start()) + 2
        between = page[before : match.start()]
        yield Block(
            tuple(match["info"].split()), match["body"], line, follows=before > 0 and not between.strip()
        )
        before = match.end()


def steps(page: str, walk: str) -> tuple[Step, ...]:
    """The steps of one walk through the page."""
    found: list[Step] = []
    of_walk = False
    for block in blocks(page):
        if block.words[:1] == ("bash",):
            of_walk = walk in block.words[1:]
            if of_walk:
                found.append(Step(block.body, block.line))
        elif of_walk and block.follows and block.words == ("text",):
            found[-1] = replace(found[-1], expected=block.body)
        else:
            of_walk = False
    return tuple(found)


def agrees(expected: str, output: str) -> bool:
    """Whether the output is what the page says, to the end and from the beginning."""
    parts = []
    for line in expected.splitlines():
        if line.strip() == "…":
            parts.append(r"(?:.*\n)*")
        else:
            parts.append(".*".join(map(re.escape, line.split("…"))) + r"\n")
    # Header lines end with CR, and a status line without a reason with a blank.
    lines = "".join(f"{line.rstrip()}\n" for line in output.splitlines())
    return re.fullmatch("".join(parts), lines) is not None


def run(walk: Sequence[Step], *, folder: Path, scratch: Path, environ: Mapping[str, str]) -> Ran:
    """Runs all steps in one shell, up to the first command that fails; ends whatever they left running."""
    script = "set -euo pipefail\n" + "".join(
        f"{step.commands}printf '\\n%s\\n' '{END_OF_STEP % number}'\n" for number, step in enumerate(walk)
    )
    script_file, output_file, errors_file = scratch / "walk.sh", scratch / "output", scratch / "errors"
    script_file.write_text(script, encoding="utf-8")
    # Files, not pipes: a server left over would hold a pipe open.
    with output_file.open("wb") as output, errors_file.open("wb") as errors:
        shell = subprocess.Popen(
            ["bash", "--noprofile", "--norc", str(script_file)],
            cwd=folder,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        try:
            exit_code = shell.wait(WALK_S_MAX)
        except subprocess.TimeoutExpired:
            exit_code = -signal.SIGKILL
        finally:
            _end_group(shell)
    text = output_file.read_text(encoding="utf-8")
    return Ran(exit_code, tuple(_outputs(text, len(walk))), errors_file.read_text(encoding="utf-8"))


def _end_group(shell: subprocess.Popen[bytes]) -> None:
    try:
        os.killpg(shell.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        shell.wait()


def _outputs(text: str, count: int) -> Iterator[str]:
    for number in range(count):
        output, found, text = text.partition(f"\n{END_OF_STEP % number}\n")
        if not found:
            return
        yield f"{output}\n" if output and not output.endswith("\n") else output
