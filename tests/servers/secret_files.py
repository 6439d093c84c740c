"""The nine secret files that the service reads, for servers of the tests."""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

from tests.servers.mongod import MongodServer
from tests.servers.redis_server import RedisServer

KEY_BYTES = 32


def write_secrets(directory: Path, mongod: MongodServer, redis_server: RedisServer) -> None:
    """Writes them into `directory` (made when missing): mode 0600 each, ending with a newline."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    values = {
        "mongodb_user": mongod.app.user,
        "mongodb_password": mongod.app.password,
        "mongodb_analytics_user": mongod.analytics.user,
        "mongodb_analytics_password": mongod.analytics.password,
        "mongodb_admin_user": mongod.admin.user,
        "mongodb_admin_password": mongod.admin.password,
        "redis_password": redis_server.password,
        "jwt_secret": _random_key(),
        "encryption_key": _random_key(),
    }
    for name, value in values.items():
        path = directory / name
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(f"{value}\n", encoding="utf-8")


def _random_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)).decode("ascii")
