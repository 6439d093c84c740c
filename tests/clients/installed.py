"""The environment of the clients, which `make clients` installs: generators, a fuzzer, node."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.ground.sources import PROJECT

CLIENTS: Final = PROJECT / ".clients"
TYPESCRIPT: Final = PROJECT / "tests" / "clients" / "typescript"
RUN_S_MAX: Final = 120.0


def run(
    command: Sequence[str | Path], folder: Path, *, expected: int | None = 0, **environ: str
) -> subprocess.CompletedProcess[str]:
    """Runs a program of this environment in `folder`; fails unless it exits with `expected`."""
    if not (CLIENTS / "clients.stamp").exists():
        pytest.fail(f"{CLIENTS.name}/ is missing: run `make clients`")
    name, *arguments = command
    program = next(
        path for path in (CLIENTS / "bin" / name, CLIENTS / "node_modules" / ".bin" / name) if path.exists()
    )
    # Only this environment: neither a ruff nor a node of the machine's own.
    path = f"{CLIENTS / 'bin'}{os.pathsep}{os.defpath}"
    ran = subprocess.run(
        [program, *arguments],
        cwd=folder,
        check=False,
        env={"PATH": path, "HOME": str(folder), "LANG": "C.UTF-8", **environ},
        capture_output=True,
        text=True,
        timeout=RUN_S_MAX,
    )
    assert expected in (None, ran.returncode), f"{name}: {ran.returncode}\n{ran.stdout}\n{ran.stderr}"
    return ran
