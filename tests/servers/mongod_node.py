"""One mongod process: its arguments, its life, and what it says of itself."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pymongo import MongoClient
from pymongo.errors import PyMongoError

from tests.servers.process import ServerFailed, ServerProcess, free_port

PROJECT = Path(__file__).resolve().parents[2]
WHEEL_BINARY = ".servers/lib/python3*/site-packages/fiftyone/db/bin/mongod"

REPLICA_SET = "rs0"
START_DEADLINE_S_MAX = 30.0
PROBE_TIMEOUT_MS = 2_000
CACHE_GB = 0.25
OPLOG_MB = 64
JOURNAL_FILE_MB = 8
JOURNAL_SYNC_MS = 10
SCRAM_ITERATIONS = 5_000

Client = MongoClient[dict[str, Any]]


def find_mongod() -> Path:
    """The binary: `MONGOD` names it, `make test` has fetched it, or it is on PATH."""
    if named := os.environ.get("MONGOD"):
        return Path(named)
    for candidate in sorted(PROJECT.glob(WHEEL_BINARY)):
        return candidate
    if found := shutil.which("mongod"):
        return Path(found)
    raise ServerFailed("there is no mongod: `make servers` fetches one, or set MONGOD to its path")


class MongodNode:
    """A mongod on 127.0.0.1 that asks for TLS and a password, and keeps its data over restarts.

    `shared` is where the certificates and the key file of its replica set are. Test commands are enabled
    and the TTL monitor runs every second.
    """

    host = "127.0.0.1"

    def __init__(self, directory: Path, shared: Path, *, throw_away: bool) -> None:
        """What is thrown away takes little room and time: see `_thrifty_arguments`."""
        self.directory = directory
        self._shared = shared
        self._throw_away = throw_away
        self.port = free_port()
        self._process: ServerProcess | None = None

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    def launch(self) -> None:
        """Starts it, and does not wait for it."""
        (self.directory / "data").mkdir(parents=True, exist_ok=True)
        if self._process is None:
            self._process = ServerProcess(self._arguments(), self.directory / "mongod.log")
        self._process.start()

    def wait_for_answer(self) -> None:
        """Returns once it answers; which part it plays in its set is the caller's condition."""
        try:
            with self.client() as client:
                self.wait_until(lambda: bool(hello(client)), "mongod answered")
        except BaseException:
            self.kill()
            raise

    def start(self) -> None:
        """Starts it and waits until it answers."""
        self.launch()
        self.wait_for_answer()

    def wait_until(self, ready: Callable[[], bool], what: str) -> None:
        """Asks `ready` until it is true, for as long as this node lives, and bounded."""
        if self._process is None:
            raise ServerFailed(f"{what}: the node was never started")
        self._process.wait_until(ready, what, deadline_s_max=START_DEADLINE_S_MAX)

    def client(self, **options: Any) -> Client:
        """To this node alone, whatever part it plays; without credentials unless the options have some."""
        settings: dict[str, Any] = {"serverSelectionTimeoutMS": PROBE_TIMEOUT_MS, **options}
        return MongoClient(
            self.host,
            self.port,
            directConnection=True,
            tls=True,
            tlsCAFile=str(self._shared / "ca.pem"),
            **settings,
        )

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

    def _arguments(self) -> list[str]:
        return [
            str(find_mongod()),
            *("--dbpath", str(self.directory / "data")),
            *("--bind_ip", self.host, "--port", str(self.port), "--nounixsocket"),
            *("--replSet", REPLICA_SET, "--keyFile", str(self._shared / "replica-set.key"), "--auth"),
            *("--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(self._shared / "server.pem")),
            *("--tlsCAFile", str(self._shared / "ca.pem"), "--tlsAllowConnectionsWithoutCertificates"),
            *("--wiredTigerCacheSizeGB", str(CACHE_GB), "--oplogSize", str(OPLOG_MB)),
            *("--networkMessageCompressors", "disabled"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *("--setParameter", "ttlMonitorSleepSecs=1"),
            *("--setParameter", "enableTestCommands=1"),
            # For sets of more: a node whose source went silent looks for another soon, not after 13 s.
            *("--setParameter", "oplogNetworkTimeoutBufferSeconds=1"),
            *("--setParameter", "oplogFetcherSteadyStateMaxFetcherRestarts=0"),
            *(self._thrifty_arguments() if self._throw_away else ()),
        ]

    @staticmethod
    def _thrifty_arguments() -> tuple[str, ...]:
        return (
            # The journal is three files of 100 MB otherwise, from the start.
            *("--wiredTigerEngineConfigString", f"log=(prealloc=false,file_max={JOURNAL_FILE_MB}MB)"),
            # Whoever drops a database waits for the journal, which is synced ten times a second otherwise.
            *("--journalCommitInterval", str(JOURNAL_SYNC_MS)),
            # Every connection of every client goes through it; this is the least that mongod takes.
            *("--setParameter", f"scramSHA256IterationCount={SCRAM_ITERATIONS}"),
        )


def hello(client: Client) -> dict[str, Any]:
    """What the server says of itself; empty while it does not answer."""
    try:
        return dict(client.admin.command("hello"))
    except PyMongoError:
        return {}
