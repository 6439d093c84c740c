"""Environments as a user's machine has them: what the requirement files bring, and nothing that tests bring.

They are kept under `.bare/` and made again when a requirement file or the Python changes, so that a second
run starts at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.ground.sources import PROJECT

FOLDER = PROJECT / ".bare"
BUILD, RUNTIME = PROJECT / "requirements" / "build.txt", PROJECT / "requirements" / "runtime.txt"
PYPROJECT = PROJECT / "pyproject.toml"
BUILD_S_MAX = 300.0
ASK_S_MAX = 10.0

_ASK = "import ssl, sys, venv; print('%d.%d' % sys.version_info[:2], sys.version.split()[0])"


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python at hand; `minor` is its version as in `3.12`, `release` as in `3.12.1`."""

    minor: str
    release: str
    path: Path


@dataclass(frozen=True, slots=True)
class Environment:
    """An installed product, without what tests and checks need."""

    folder: Path
    interpreter: Interpreter

    @property
    def python(self) -> str:
        return str(self.folder / "bin" / "python")

    @property
    def creditctl(self) -> str:
        return str(self.folder / "bin" / "creditctl")


def project() -> dict[str, object]:
    """`[project]` of pyproject.toml."""
    table: dict[str, object] = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    return table


def supported() -> tuple[str, ...]:
    """Minor versions that the project says it runs on."""
    words = "Programming Language :: Python :: "
    classifiers = project()["classifiers"]
    assert isinstance(classifiers, list)
    return tuple(text.removeprefix(words) for text in classifiers if text.startswith(words))


def interpreters() -> tuple[Interpreter, ...]:
    """One of each supported version that this machine has; that of the tests is always among them."""
    found = []
    for minor in supported():
        for candidate in _candidates(minor):
            interpreter = _asked(candidate)
            if interpreter is not None and interpreter.minor == minor:
                found.append(interpreter)
                break
    return tuple(found)


def _candidates(minor: str) -> list[Path]:
    paths = []
    if minor == "{}.{}".format(*sys.version_info[:2]):
        paths.append(Path(sys.executable))
    on_path = shutil.which(f"python{minor}")
    if on_path is not None:
        paths.append(Path(on_path))
    return paths + sorted(Path.home().glob(f".pyenv/versions/{minor}.*/bin/python"), reverse=True)


def _asked(path: Path) -> Interpreter | None:
    """None for a name that runs no Python, as a version manager's may."""
    try:
        asked = subprocess.run(
            [path, "-c", _ASK], check=False, capture_output=True, text=True, timeout=ASK_S_MAX
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    words = asked.stdout.split()
    return Interpreter(words[0], words[1], path) if asked.returncode == 0 and len(words) == 2 else None


def with_runtime(interpreter: Interpreter) -> Environment:
    """What `make run` installs: build.txt and runtime.txt, and the project."""
    pinned = ["--require-hashes", "--requirement", str(BUILD), "--requirement", str(RUNTIME)]
    return _made(f"runtime-{interpreter.minor}", interpreter, pinned)


def without_extras(interpreter: Interpreter) -> Environment:
    """What the project declares for everybody, at the pinned versions, without any of its extras."""
    dependencies = project()["dependencies"]
    assert isinstance(dependencies, list)
    pinned = ["--constraint", str(RUNTIME), "--requirement", str(BUILD), *dependencies]
    return _made(f"without-extras-{interpreter.minor}", interpreter, pinned)


def _made(name: str, interpreter: Interpreter, arguments: Sequence[str]) -> Environment:
    files = (BUILD, RUNTIME, PYPROJECT)
    key = hashlib.sha256(interpreter.release.encode() + b"".join(file.read_bytes() for file in files))
    folder = FOLDER / f"{name}-{key.hexdigest()[:16]}"
    environment = Environment(folder, interpreter)
    FOLDER.mkdir(exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        complete = folder / "complete"
        if not complete.exists():
            for old in FOLDER.glob(f"{name}-*"):
                shutil.rmtree(old)
            _uv("venv", "--python", str(interpreter.path), str(folder))
            _install(environment, ["--only-binary", ":all:", *arguments])
            _install(environment, ["--no-deps", "--no-build-isolation", "--editable", str(PROJECT)])
            complete.touch()
    return environment


def _install(environment: Environment, arguments: Sequence[str]) -> None:
    """With uv; where only pip's own configuration knows an index, with pip, which takes longer."""
    try:
        _uv("pip", "install", "--python", environment.python, *arguments)
    except subprocess.CalledProcessError:
        pip = [sys.executable, "-m", "pip", "--python", environment.python, "install", "--quiet"]
        _run([*pip, *arguments])


def _uv(*arguments: str) -> None:
    _run([str(Path(sys.executable).with_name("uv")), *arguments[:1], "--quiet", *arguments[1:]])


def _run(command: Sequence[str]) -> None:
    subprocess.run(
        command, check=True, cwd=PROJECT, stdin=subprocess.DEVNULL, env=plain(), timeout=BUILD_S_MAX
    )


def plain(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's variables without the settings that it was given and without its own environment."""
    left_out = ("CREDIT", "PYTEST", "PYTHON", "VIRTUAL_ENV", "MAKE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return {**kept, **(extra or {})}
