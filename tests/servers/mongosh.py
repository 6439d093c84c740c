"""MongoDB's shell, which runs `init-scripts/mongodb-init.js` as an operator does."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.servers.mongod import Credentials, MongodServer
from tests.servers.process import ServerFailed

PROJECT: Final = Path(__file__).resolve().parents[2]
DIRECTORY: Final = PROJECT / ".mongosh"
SCRIPT: Final = PROJECT / "init-scripts" / "mongodb-init.js"
SECONDS_MAX: Final = 60.0


def run_init_script(
    mongod: MongodServer, user: Credentials, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    """What the script printed, and its exit code. `environment`: where the secrets are, which database."""
    shell = DIRECTORY / "node_modules" / ".bin" / "mongosh"
    if not shell.exists():
        raise ServerFailed(f"{DIRECTORY.name}/ is missing: run `make mongosh`")
    path = f"{PROJECT / '.clients' / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    login = [f"--username={user.user}", f"--password={user.password}", "--authenticationDatabase=admin"]
    return subprocess.run(
        [shell, mongod.url, *login, "--quiet", "--norc", "--file", SCRIPT],
        # A home of its own: the shell keeps a history and logs there.
        env={"PATH": path, "HOME": str(mongod.directory), "MONGOSH_DISABLE_TELEMETRY": "1", **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
