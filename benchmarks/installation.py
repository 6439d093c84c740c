"""The peers' environment: made once under `.benchmarks/`, which git ignores, never inside the product's."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).resolve().parents[1]
CACHE: Final = PROJECT / ".benchmarks"
PEERS: Final = PROJECT / "benchmarks" / "peers"
INSTALL_S_MAX: Final = 600.0


class PeerMissing(Exception):
    """A peer cannot be installed here; its rows are measured without it."""


def python_with_peers() -> Path:
    """An interpreter with everything of `peers/requirements.txt`, by hash."""
    requirements = PEERS / "requirements.txt"
    home = CACHE / "python"
    interpreter = home / "bin" / "python"
    if _is_current(home, requirements):
        return interpreter
    venv.create(home, clear=True, with_pip=True)
    pip = [str(interpreter), "-m", "pip", "--disable-pip-version-check", "install", "-qq"]
    _run([*pip, "--require-hashes", "--only-binary", ":all:", "-r", str(requirements)], PROJECT)
    _mark_current(home, requirements)
    return interpreter


def folder_with_medici() -> Path:
    """A folder whose `node_modules` is what `peers/medici/package-lock.json` says."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise PeerMissing("Medici needs node and npm")
    lock = PEERS / "medici" / "package-lock.json"
    home = CACHE / "medici"
    if _is_current(home, lock):
        return home
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    for file in (lock, lock.with_name("package.json")):
        shutil.copy(file, home)
    _run(["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"], home)
    _mark_current(home, lock)
    return home


def make_cache() -> Path:
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n", encoding="utf-8")
    return CACHE


def _stamp(home: Path) -> Path:
    return home / "installed-from.sha256"


def _digest(source: Path) -> str:
    return hashlib.sha256(f"{sys.version}\n{source.read_text(encoding='utf-8')}".encode()).hexdigest()


def _is_current(home: Path, source: Path) -> bool:
    stamp = _stamp(home)
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == _digest(source)


def _mark_current(home: Path, source: Path) -> None:
    _stamp(home).write_text(_digest(source), encoding="utf-8")


def _run(command: Sequence[str], directory: Path) -> None:
    make_cache()
    print(f"installing peers: {' '.join(command[:4])} …", file=sys.stderr, flush=True)
    try:
        subprocess.run(command, cwd=directory, check=True, timeout=INSTALL_S_MAX, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError) as error:
        raise PeerMissing(f"{command[0]} failed: {error}") from error
