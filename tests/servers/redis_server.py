"""A real Redis with TLS only, one user of its own, and no eviction."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import tempfile
from pathlib import Path
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.servers.certificates import write_certificates
from tests.servers.process import ServerFailed, ServerProcess, free_port

USER = "credit"
START_DEADLINE_S_MAX = 15.0
PROBE_TIMEOUT_S = 2.0


def find_redis_server() -> Path:
    if found := shutil.which("redis-server"):
        return Path(found)
    raise ServerFailed("there is no redis-server: `make test` as root installs Debian's")


class RedisServer:
    """One redis-server on 127.0.0.1. It asks for TLS and a password, and keeps its data over restarts.

    Every write is in the append-only file before it is answered, so that `kill` loses nothing either.
    """

    host = "127.0.0.1"
    user = USER

    def __init__(self, directory: Path | None = None) -> None:
        self._temporary = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="credit-redis-"))
        self.port = free_port()
        self.password = secrets.token_urlsafe(24)
        self._process: ServerProcess | None = None

    @property
    def ca_file(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def url(self) -> str:
        """With the user and without the password, as `CREDIT_REDIS_URL` wants it."""
        return f"rediss://{self.user}@{self.host}:{self.port}/0?ssl_ca_certs={self.ca_file}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    def client(self, **options: Any) -> redis.Redis:
        """A synchronous client that never tries again by itself; the caller closes it."""
        settings: dict[str, Any] = {"retry": Retry(NoBackoff(), 0), "password": self.password, **options}
        return redis.Redis.from_url(self.url, **settings)

    def start(self) -> Self:
        """Starts it and waits until it answers."""
        data = self.directory / "data"
        if not data.exists():
            data.mkdir(parents=True)
            write_certificates(self.directory)
            self._write_users()
        if self._process is None:
            self._process = ServerProcess(self._arguments(), self.directory / "redis.log")
        self._process.start()
        try:
            with self.client(
                socket_timeout=PROBE_TIMEOUT_S, socket_connect_timeout=PROBE_TIMEOUT_S
            ) as client:
                self._process.wait_until(
                    lambda: _answers(client), "redis-server answered", deadline_s_max=START_DEADLINE_S_MAX
                )
        except BaseException:
            self._process.kill()
            raise
        return self

    def stop(self) -> None:
        """Ends it in order; the data stays for the next `start`."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """Ends it as a power cut would; the data stays for the next `start`."""
        if self._process is not None:
            self._process.kill()

    def restart(self) -> Self:
        """Ends it when it runs, and starts it on the same port and data."""
        self.stop()
        return self.start()

    def close(self) -> None:
        """Ends it and removes what it kept, unless the directory was given."""
        self.kill() if self._temporary else self.stop()
        if self._temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _write_users(self) -> None:
        digest = hashlib.sha256(self.password.encode()).hexdigest()
        users = self.directory / "users.acl"
        users.touch(mode=0o600)
        users.write_text(f"user default off\nuser {self.user} on #{digest} ~* &* +@all\n")

    def _arguments(self) -> list[str]:
        return [
            str(find_redis_server()),
            *("--bind", self.host, "--port", "0", "--tls-port", str(self.port)),
            *("--tls-cert-file", str(self.directory / "server.crt")),
            *("--tls-key-file", str(self.directory / "server.key")),
            *("--tls-ca-cert-file", str(self.ca_file), "--tls-auth-clients", "no"),
            *("--aclfile", str(self.directory / "users.acl")),
            *("--dir", str(self.directory / "data"), "--daemonize", "no"),
            *("--appendonly", "yes", "--appendfsync", "always", "--save", ""),
            *("--maxmemory", "256mb", "--maxmemory-policy", "noeviction"),
        ]


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
