"""Whoever pastes the README's commands sees what the README says."""

from __future__ import annotations

import errno
import os
import re
import time
from pathlib import Path

import pytest

from tests.ground.sources import PROJECT
from tests.readme.walk import Step, agrees, blocks, run, steps
from tests.servers.process import free_port

ENDED_S_MAX = 10.0

README = (PROJECT / "README.md").read_text(encoding="utf-8")


def bare_environment(scratch: Path) -> dict[str, str]:
    """A person's shell: none of the settings, and none of make's variables, that these tests run under."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "USER") if name in os.environ}
    port = free_port()
    return {**kept, "LANG": "C.UTF-8", "TMPDIR": str(scratch), "BIND": f"127.0.0.1:{port}"}


def walk_through(walk: str, scratch: Path) -> None:
    """Fails with the first step whose commands fail, or print something else than the page says."""
    wanted = steps(README, walk)
    ran = run(wanted, folder=PROJECT, scratch=scratch, environ=bare_environment(scratch))
    logs = "".join(path.read_text(encoding="utf-8") for path in scratch.glob("tmp.*/*log"))
    for step, output in zip(wanted, ran.outputs, strict=False):
        assert agrees(step.expected, output), (
            f"README.md, line {step.line}:\n{step.commands}\nprinted\n{output}"
        )
    if len(ran.outputs) < len(wanted):
        step = wanted[len(ran.outputs)]
        pytest.fail(f"README.md, line {step.line}: failed\n{step.commands}\n{ran.errors}\n{logs}")
    assert ran.exit_code == 0


def test_the_five_minute_walk_prints_what_the_readme_says(tmp_path: Path) -> None:
    assert len(steps(README, "walk")) > 10
    walk_through("walk", tmp_path)


def test_the_live_walk_prints_what_the_readme_says(tmp_path: Path) -> None:
    assert len(steps(README, "live")) > 1
    walk_through("live", tmp_path)


def test_every_command_of_the_readme_is_walked_or_a_target_of_make() -> None:
    targets = set()
    for block in blocks(README):
        if block.words and block.words[0] == "bash":
            assert set(block.words[1:]) & {"walk", "live"}, f"README.md, line {block.line}"
        elif block.words == ("sh",):
            targets |= set(block.body.splitlines())
    assert targets == {"make run", "make test"}
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    named = {target.removeprefix("make ") for target in targets} | set(re.findall(r"`make (\w+)`", README))
    assert {name for name in named if not re.search(rf"^{name}:", makefile, re.MULTILINE)} == set()


def test_make_test_and_the_checks_are_what_the_project_runs_for_every_commit() -> None:
    commands = (PROJECT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert any(re.match(r"make test( \||$)", command) for command in commands)


def test_output_agrees_only_when_all_of_it_does() -> None:
    assert agrees("a\n", "a\r\n")
    assert agrees('{"id":"…","n":1}\n', '{"id":"x","n":1}\n')
    assert agrees("a\n…\nz\n", "a\nb\nc\nz\n")
    assert agrees("a\n…\nz\n", "a\nz\n")
    assert agrees("", "")
    assert not agrees("", "a\n")
    assert not agrees("a\n", "a\nb\n")
    assert not agrees("a…c\n", "a\nc\n")
    assert not agrees("a.c\n", "abc\n")


def test_only_blocks_of_the_walk_are_steps_and_only_what_follows_them_is_expected() -> None:
    walked = "# x\n```bash walk\ntrue\n```\n```text\nok\n```\n"
    page = f"{walked}```bash other\nfalse\n```\n\nwords\n```text\nno\n```\n"
    assert steps(page, "walk") == (Step("true\n", 3, "ok\n"),)
    assert steps(page, "other") == (Step("false\n", 9),)


def test_a_walk_ends_at_the_first_command_that_fails(tmp_path: Path) -> None:
    walk = (Step("echo one\n", 1), Step("false\necho not reached\n", 2), Step("echo three\n", 3))
    ran = run(walk, folder=tmp_path, scratch=tmp_path, environ=bare_environment(tmp_path))
    assert ran.outputs == ("one\n",)
    assert ran.exit_code == 1


def test_a_walk_leaves_nothing_running(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    walk = (Step("sleep 1000 <>pipe &\n", 1),)
    assert run(walk, folder=tmp_path, scratch=tmp_path, environ=bare_environment(tmp_path)).exit_code == 0
    ends_s = time.monotonic() + ENDED_S_MAX
    while is_read(pipe):
        assert time.monotonic() < ends_s
        time.sleep(0.01)


def is_read(pipe: Path) -> bool:
    """Whether some process still has the reading end open."""
    try:
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return False
    return True
