"""A real MongoDB: a replica set of one node with TLS, users and roles."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.servers.certificates import write_certificates
from tests.servers.process import ServerFailed, ServerProcess, free_port

PROJECT = Path(__file__).resolve().parents[2]
WHEEL_BINARY = ".servers/lib/python3*/site-packages/fiftyone/db/bin/mongod"

REPLICA_SET = "rs0"
DATABASE = "credit_system"
START_DEADLINE_S_MAX = 30.0
PROBE_TIMEOUT_MS = 2_000
CACHE_GB = 0.25
OPLOG_MB = 64


@dataclass(frozen=True, slots=True)
class Credentials:
    user: str
    password: str


def _credentials(user: str) -> Credentials:
    return Credentials(user, secrets.token_urlsafe(24))


def find_mongod() -> Path:
    """The binary: `MONGOD` names it, `make test` has fetched it, or it is on PATH."""
    if named := os.environ.get("MONGOD"):
        return Path(named)
    for candidate in sorted(PROJECT.glob(WHEEL_BINARY)):
        return candidate
    if found := shutil.which("mongod"):
        return Path(found)
    raise ServerFailed("there is no mongod: `make test` fetches one, or set MONGOD to its path")


class MongodServer:
    """One mongod on 127.0.0.1. It asks for TLS and a password, and keeps its data over restarts.

    `app`, `analytics` and `admin` are the service's three roles; `root` is the tests' own, for fail points
    and for killing sessions. Test commands are enabled and the TTL monitor runs every second.
    """

    host = "127.0.0.1"

    def __init__(self, directory: Path | None = None) -> None:
        self._temporary = directory is None
        self.directory = directory or Path(tempfile.mkdtemp(prefix="credit-mongod-"))
        self.port = free_port()
        self.app = _credentials("credit_app")
        self.analytics = _credentials("credit_analytics")
        self.admin = _credentials("credit_admin")
        self.root = _credentials("root")
        self._process: ServerProcess | None = None

    @property
    def ca_file(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def url(self) -> str:
        """Without credentials, as `CREDIT_MONGO_URL` wants it."""
        return (
            f"mongodb://{self.host}:{self.port}/{DATABASE}"
            f"?replicaSet={REPLICA_SET}&tls=true&tlsCAFile={self.ca_file}"
        )

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    def client(self, credentials: Credentials, **options: Any) -> MongoClient[dict[str, Any]]:
        """A synchronous client with these credentials; the caller closes it."""
        return MongoClient(
            self.url,
            username=credentials.user,
            password=credentials.password,
            authSource="admin",
            **options,
        )

    def start(self) -> Self:
        """Starts it and waits until it is primary; the first time, makes the replica set and the users."""
        fresh = not (self.directory / "data").exists()
        if fresh:
            self._prepare()
        if self._process is None:
            self._process = ServerProcess(self._arguments(), self.directory / "mongod.log")
        self._process.start()
        try:
            with self._direct_client() as client:
                self._process.wait_until(
                    lambda: bool(_hello(client)),
                    "mongod answered",
                    deadline_s_max=START_DEADLINE_S_MAX,
                )
                if fresh:
                    member = {"_id": 0, "host": f"{self.host}:{self.port}"}
                    client.admin.command("replSetInitiate", {"_id": REPLICA_SET, "members": [member]})
                self._process.wait_until(
                    lambda: bool(_hello(client).get("isWritablePrimary")),
                    "mongod was primary",
                    deadline_s_max=START_DEADLINE_S_MAX,
                )
                if fresh:
                    self._create_root(client)
            if fresh:
                self._create_users()
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

    def freeze(self) -> None:
        """Until `thaw` it keeps its connections and answers nothing."""
        if self._process is not None:
            self._process.freeze()

    def thaw(self) -> None:
        if self._process is not None:
            self._process.thaw()

    def restart(self) -> Self:
        """Ends it when it runs, and starts it on the same port and data."""
        self.stop()
        return self.start()

    def close(self) -> None:
        """Ends it and removes what it kept, unless the directory was given."""
        if self._temporary:
            self.kill()
            shutil.rmtree(self.directory, ignore_errors=True)
        else:
            self.stop()

    def _prepare(self) -> None:
        (self.directory / "data").mkdir(parents=True)
        write_certificates(self.directory)
        key_file = self.directory / "replica-set.key"
        key_file.touch(mode=0o600)
        key_file.write_text(secrets.token_hex(32))

    def _arguments(self) -> list[str]:
        return [
            str(find_mongod()),
            *("--dbpath", str(self.directory / "data")),
            *("--bind_ip", self.host, "--port", str(self.port), "--nounixsocket"),
            *("--replSet", REPLICA_SET, "--keyFile", str(self.directory / "replica-set.key"), "--auth"),
            *("--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(self.directory / "server.pem")),
            *("--tlsCAFile", str(self.ca_file), "--tlsAllowConnectionsWithoutCertificates"),
            *("--wiredTigerCacheSizeGB", str(CACHE_GB), "--oplogSize", str(OPLOG_MB)),
            *("--networkMessageCompressors", "disabled"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *("--setParameter", "ttlMonitorSleepSecs=1"),
            *("--setParameter", "enableTestCommands=1"),
        ]

    def _direct_client(self) -> MongoClient[dict[str, Any]]:
        return MongoClient(
            self.host,
            self.port,
            directConnection=True,
            tls=True,
            tlsCAFile=str(self.ca_file),
            serverSelectionTimeoutMS=PROBE_TIMEOUT_MS,
        )

    def _create_root(self, client: MongoClient[dict[str, Any]]) -> None:
        # The localhost exception allows one user without a login, as long as there is none.
        client.admin.command("createUser", self.root.user, pwd=self.root.password, roles=["root"])

    def _create_users(self) -> None:
        roles = {
            self.app: ["readWriteAnyDatabase"],
            self.analytics: ["readAnyDatabase"],
            self.admin: ["readWriteAnyDatabase", "dbAdminAnyDatabase", "clusterMonitor"],
        }
        with self.client(self.root) as client:
            for credentials, granted in roles.items():
                client.admin.command("createUser", credentials.user, pwd=credentials.password, roles=granted)


def _hello(client: MongoClient[dict[str, Any]]) -> dict[str, Any]:
    try:
        return dict(client.admin.command("hello"))
    except PyMongoError:
        return {}
