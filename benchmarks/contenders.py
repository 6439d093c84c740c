"""Processes that are measured in turn: A B A B, while the others wait for their next line."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Self

from benchmarks.installation import PROJECT, make_cache

END_S_MAX = 30.0
WARM_UP_S_MAX = 2.0


class ContenderFailed(Exception):
    """A measured process ended or answered something else."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One side of a row. `configuration` goes through standard input: it may hold credentials."""

    name: str
    command: tuple[str, ...]
    configuration: Mapping[str, Any] = field(repr=False)
    directory: Path = PROJECT
    source: Path = PROJECT
    """Where Python finds the measured modules."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one contender did: its figures of each round, in order."""

    name: str
    versions: Mapping[str, str]
    rounds: tuple[Mapping[str, float], ...]

    def median(self, figure: str) -> float:
        return median(each[figure] for each in self.rounds)

    def spread(self, figure: str) -> tuple[float, float]:
        values = [each[figure] for each in self.rounds]
        return min(values), max(values)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Contenders of one run, and the machine's load average (1 min) before and after it."""

    measured: tuple[Measured, ...]
    load_before: float
    load_after: float


class _Process:
    def __init__(self, contender: Contender) -> None:
        self._name = contender.name
        self._log = make_cache() / f"{''.join(c if c.isalnum() else '-' for c in contender.name)}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                contender.command,
                cwd=contender.directory,
                env={**os.environ, "PYTHONPATH": str(contender.source)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self.versions: Mapping[str, str] = self._ask(contender.configuration)["versions"]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(END_S_MAX)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def round(self, seconds: float) -> Mapping[str, float]:
        figures: Mapping[str, float] = self._ask({"seconds": seconds})
        return figures

    def _ask(self, question: Mapping[str, Any]) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise ContenderFailed(f"{self._name} has no pipes")
        try:
            stdin.write(json.dumps(question) + "\n")
            stdin.flush()
            answer = stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            tail = self._log.read_text(encoding="utf-8", errors="replace")[-2_000:]
            raise ContenderFailed(f"{self._name} ended\n{tail}")
        return json.loads(answer)


def side_by_side(contenders: Sequence[Contender], *, rounds: int, seconds: float) -> Comparison:
    """Starts all, warms each up, then `rounds` times one round of each in turn."""
    load_before = os.getloadavg()[0]
    with ExitStack() as stack:
        processes: list[_Process] = []
        for contender in contenders:
            process = _Process(contender)
            stack.enter_context(process)
            processes.append(process)
        for process in processes:
            process.round(min(seconds, WARM_UP_S_MAX))
        figures: list[list[Mapping[str, float]]] = [[] for _ in processes]
        for _ in range(rounds):
            for process, found in zip(processes, figures, strict=True):
                found.append(process.round(seconds))
    measured = tuple(
        Measured(contender.name, process.versions, tuple(found))
        for contender, process, found in zip(contenders, processes, figures, strict=True)
    )
    return Comparison(measured, load_before, os.getloadavg()[0])
