"""Three mongods of which one is primary, and any may be killed: what fail-over is tried on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pymongo.read_concern import ReadConcern

from tests.servers.mongod import MongodServer
from tests.servers.mongod_node import Client, MongodNode

NODES = 3
ROLES = ["PRIMARY", "SECONDARY", "SECONDARY"]
# MongoDB's own 10 s are for networks; on one machine a silent primary is a dead one much sooner.
SETTINGS = {"electionTimeoutMillis": 1_500, "heartbeatIntervalMillis": 300}


class ReplicaSet(MongodServer):
    """A majority is two: with one node killed it still takes writes, and elects another primary."""

    def __init__(self, directory: Path | None = None) -> None:
        super().__init__(directory, nodes=NODES, settings=SETTINGS)

    def others_than(self, node: MongodNode) -> tuple[MongodNode, ...]:
        return tuple(each for each in self.nodes if each is not node)

    def wait_for_all(self) -> None:
        """Returns once one node is primary and the others have writes of its term: each has undone what this
        primary never had, and can be spared."""
        primary = self.wait_for_primary()
        with self._as_root(primary) as client:
            primary.wait_until(
                lambda: _all_follow(client.admin.command("replSetGetStatus")), "all nodes followed"
            )

    def count(self, node: MongodNode, database: str, collection: str) -> int:
        """How many documents the node itself has, whoever else has them."""
        with self._as_root(node) as client:
            documents = client[database][collection]
            return documents.with_options(read_concern=ReadConcern("local")).count_documents({})

    def sync(self, node: MongodNode) -> None:
        """What the node has outlives its death."""
        with self._as_root(node) as client:
            client.admin.command("fsync")

    def _as_root(self, node: MongodNode) -> Client:
        return node.client(username=self.root.user, password=self.root.password, authSource="admin")


def _all_follow(status: Mapping[str, Any]) -> bool:
    states = sorted(member["stateStr"] for member in status["members"])
    return states == ROLES and all(member["optime"]["t"] == status["term"] for member in status["members"])
