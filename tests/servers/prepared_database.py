"""A database made ready by `init-scripts/mongodb-init.js`, with the three users that it made."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.servers.mongod import Credentials, MongodServer
from tests.servers.mongod_node import Client
from tests.servers.mongosh import run_init_script


@dataclass(frozen=True, slots=True)
class PreparedDatabase:
    """`secrets` is the directory of the secret files with the users' names and passwords."""

    mongod: MongodServer
    name: str
    secrets: Path
    read_write: Credentials
    read_only: Credentials
    admin: Credentials

    @property
    def url(self) -> str:
        return self.mongod.url.replace("/credit_system?", f"/{self.name}?")

    def environment(self, *, plugin_collections: str = "") -> Mapping[str, str]:
        return {
            "CREDIT_SECRETS_DIR": str(self.secrets),
            "MONGO_INITDB_DATABASE": self.name,
            "MONGODB_PLUGIN_COLLECTIONS": plugin_collections,
        }

    def run_script(self, *, plugin_collections: str = "") -> str:
        """What it printed, once it ended well."""
        ran = run_init_script(
            self.mongod, self.mongod.root, self.environment(plugin_collections=plugin_collections)
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
        return ran.stdout

    def client(self, credentials: Credentials) -> Client:
        return self.mongod.client(credentials)


def unprepared_database(mongod: MongodServer, directory: Path) -> PreparedDatabase:
    """Before the script: a name that is free, and secret files for users that do not exist."""
    name = f"prepared_{secrets.token_hex(6)}"
    users = [
        Credentials(f"{name}_{role}", secrets.token_urlsafe(24)) for role in ("app", "analytics", "admin")
    ]
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    for prefix, user in zip(("mongodb", "mongodb_analytics", "mongodb_admin"), users, strict=True):
        for what, value in (("user", user.user), ("password", user.password)):
            path = directory / f"{prefix}_{what}"
            path.touch(mode=0o600)
            path.write_text(f"{value}\n", encoding="utf-8")
    return PreparedDatabase(mongod, name, directory, *users)
