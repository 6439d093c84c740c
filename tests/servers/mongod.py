"""A real MongoDB: a replica set, of one node unless more are asked for, with TLS, users and roles."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pymongo import MongoClient

from tests.servers.certificates import write_certificates
from tests.servers.mongod_node import REPLICA_SET, Client, MongodNode, hello
from tests.servers.process import ServerFailed
from tests.servers.server import Server

DATABASE = "credit_system"


@dataclass(frozen=True, slots=True)
class Credentials:
    user: str
    password: str


def _credentials(user: str) -> Credentials:
    return Credentials(user, secrets.token_urlsafe(24))


class MongodServer(Server):
    """A replica set on 127.0.0.1. It asks for TLS and a password, and keeps its data over restarts.

    `app`, `analytics` and `admin` are the service's three roles; `root` is the tests' own, for fail points
    and for killing sessions. Test commands are enabled and the TTL monitor runs every second. `settings`
    are the replica set's.
    """

    host = MongodNode.host

    def __init__(
        self, directory: Path | None = None, *, nodes: int = 1, settings: Mapping[str, int] | None = None
    ) -> None:
        super().__init__(directory, "credit-mongod-")
        own = [self.directory] if nodes == 1 else [self.directory / f"node-{at}" for at in range(nodes)]
        self.nodes = tuple(MongodNode(each, self.directory, throw_away=self.temporary) for each in own)
        self.port = self.nodes[0].port
        self._settings = dict(settings or {})
        self.app = _credentials("credit_app")
        self.analytics = _credentials("credit_analytics")
        self.admin = _credentials("credit_admin")
        self.root = _credentials("root")

    @property
    def processes(self) -> Sequence[MongodNode]:
        return self.nodes

    @property
    def ca_file(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def url(self) -> str:
        """Without credentials, as `CREDIT_MONGO_URL` wants it."""
        hosts = ",".join(node.address for node in self.nodes)
        return f"mongodb://{hosts}/{DATABASE}?replicaSet={REPLICA_SET}&tls=true&tlsCAFile={self.ca_file}"

    @property
    def running(self) -> bool:
        return all(node.running for node in self.nodes)

    def client(self, credentials: Credentials, **options: Any) -> Client:
        """A synchronous client with these credentials; the caller closes it."""
        return MongoClient(
            self.url,
            username=credentials.user,
            password=credentials.password,
            authSource="admin",
            **options,
        )

    def start(self) -> Self:
        """Starts it and waits until a node is primary; the first time, makes the set and the users."""
        fresh = not self.ca_file.exists()
        if fresh:
            self._prepare()
        try:
            for node in self.nodes:
                if not node.running:
                    node.launch()
            for node in self.nodes:
                node.wait_for_answer()
            if fresh:
                self._initiate()
            primary = self.wait_for_primary()
            if fresh:
                self._create_users(primary)
        except BaseException:
            self.kill()
            raise
        return self

    def wait_for_primary(self, *, but: MongodNode | None = None) -> MongodNode:
        """The node that takes writes, once one of those that run does; `but` is not asked."""
        running = [node for node in self.nodes if node.running and node is not but]
        if not running:
            raise ServerFailed("no node runs, so none becomes primary")
        with ExitStack() as stack:
            clients = [(node, stack.enter_context(node.client())) for node in running]
            primaries: list[MongodNode] = []

            def is_elected() -> bool:
                primaries[:] = [node for node, client in clients if hello(client).get("isWritablePrimary")]
                return bool(primaries)

            running[0].wait_until(is_elected, "mongod was primary")
        return primaries[0]

    def _prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        write_certificates(self.directory)
        key_file = self.directory / "replica-set.key"
        key_file.touch(mode=0o600)
        key_file.write_text(secrets.token_hex(32))

    def _initiate(self) -> None:
        members = [{"_id": at, "host": node.address} for at, node in enumerate(self.nodes)]
        configuration = {"_id": REPLICA_SET, "members": members, "settings": self._settings}
        with self.nodes[0].client() as client:
            client.admin.command("replSetInitiate", configuration)

    def _create_users(self, primary: MongodNode) -> None:
        root = self.root
        with primary.client() as client:
            # The localhost exception allows one user without a login, as long as there is none.
            client.admin.command("createUser", root.user, pwd=root.password, roles=["root"])
        roles = {
            self.app: ["readWriteAnyDatabase"],
            self.analytics: ["readAnyDatabase"],
            self.admin: ["readWriteAnyDatabase", "dbAdminAnyDatabase", "clusterMonitor"],
        }
        with self.client(self.root) as client:
            for credentials, granted in roles.items():
                client.admin.command("createUser", credentials.user, pwd=credentials.password, roles=granted)
