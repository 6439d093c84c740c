"""A real Redis Cluster of three masters, on 127.0.0.1."""

from __future__ import annotations

import time
from typing import Self

import redis

from tests.servers.process import ServerFailed, ServerProcess, free_port
from tests.servers.redis_server import RedisServer, find_redis_server

NODES = 3
SLOTS = 16_384
READY_S_MAX = 30.0
POLL_S = 0.02


class ClusterNode(RedisServer):
    """One master. With TLS and a user as `RedisServer`, but where Valkey stands in, which has no TLS here."""

    def __init__(self, first: ClusterNode | None = None) -> None:
        """Nodes trust each other, so all have the password and the certificates of the first one."""
        super().__init__(twin=first)
        self.bus_port = free_port()

    @property
    def _with_tls(self) -> bool:
        return find_redis_server().name == "redis-server"

    @property
    def url(self) -> str:
        return super().url if self._with_tls else f"redis://{self.user}@{self.host}:{self.port}/0"

    @property
    def node_id(self) -> str:
        answer = self.ask("CLUSTER", "MYID")
        return answer.decode() if isinstance(answer, bytes) else str(answer)

    def ask(self, *command: str | int | bytes) -> object:
        with self.client() as client:
            return client.execute_command(*command)

    def _make_processes(self) -> tuple[ServerProcess, ...]:
        ports = self._tls_arguments() if self._with_tls else ["--bind", self.host, "--port", str(self.port)]
        arguments = [str(find_redis_server()), *ports, *self._data_arguments(), *self._cluster_arguments()]
        return (ServerProcess(arguments, self.directory / "redis.log"),)

    def _cluster_arguments(self) -> list[str]:
        return [
            *("--cluster-enabled", "yes", "--cluster-port", str(self.bus_port)),
            *("--tls-cluster", "yes" if self._with_tls else "no"),
            *("--masteruser", self.user, "--masterauth", self.password),
            # The slots of nodes that live are served while another is dead.
            *("--cluster-require-full-coverage", "no", "--cluster-node-timeout", "2000"),
        ]


class RedisCluster:
    """Three masters, each with a third of the slots, and one password."""

    def __init__(self) -> None:
        first = ClusterNode()
        self.nodes = (first, *(ClusterNode(first) for _ in range(NODES - 1)))
        self.password = first.password

    @property
    def url(self) -> str:
        """Names two of the nodes: the third is learnt."""
        scheme, _, rest = self.nodes[0].url.partition("://")
        user = rest.partition("@")[0]
        addresses = ",".join(f"{node.host}:{node.port}" for node in self.nodes[:2])
        _, separator, query = rest.partition("?")
        return f"{scheme}+cluster://{user}@{addresses}/0{separator}{query}"

    def start(self) -> Self:
        for node in self.nodes:
            node.start()
        for number, node in enumerate(self.nodes):
            first, last = SLOTS * number // NODES, SLOTS * (number + 1) // NODES - 1
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
        for node in self.nodes[1:]:
            self.nodes[0].ask("CLUSTER", "MEET", node.host, node.port, node.bus_port)
        self.wait_until_ready()
        return self

    def wait_until_ready(self) -> None:
        """Until every node knows who holds all slots."""
        deadline_s = time.monotonic() + READY_S_MAX
        while not all(self._is_ready(node) for node in self.nodes):
            if time.monotonic() > deadline_s:
                raise ServerFailed(f"the cluster was not ready within {READY_S_MAX} s")
            time.sleep(POLL_S)

    def owner(self, slot: int) -> ClusterNode:
        """Who was given the slot at the start."""
        return next(
            node for number, node in enumerate(self.nodes) if slot <= SLOTS * (number + 1) // NODES - 1
        )

    def empty(self) -> None:
        """A node gives no slot away that holds a key, be it another test's."""
        for node in self.nodes:
            node.ask("FLUSHALL")

    def move(self, slot: int, to: ClusterNode) -> None:
        """Gives a slot to another node, without what it holds. The newest epoch's claim holds; the others
        hear first, or their gossip would take the slot back."""
        node_id = to.node_id
        to.ask("CLUSTER", "BUMPEPOCH")
        for node in (*(other for other in self.nodes if other is not to), to):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", node_id)

    def close(self) -> None:
        for node in self.nodes:
            node.close()

    @staticmethod
    def _is_ready(node: ClusterNode) -> bool:
        try:
            with node.client() as client:
                slots = client.execute_command("CLUSTER SLOTS")
                info = client.execute_command("CLUSTER INFO")
        except redis.RedisError:
            return False
        return "ok" in str(info.get("cluster_state")) and len(slots) == NODES
