"""A Redis Cluster: every command goes to the node that holds its key's slot."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from adapters.redis.driver.failover import Generation, says_wrong_server
from adapters.redis.driver.interface import DEPENDENCY, RedisDriver, RedisListener, Result, accepted
from adapters.redis.driver.resp import Command, ErrorReply, Reply, pack
from adapters.redis.driver.single_server import SingleServer, together
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime, Task

SLOTS = 16_384
REDIRECTS_MAX = 3
LOOK_INTERVAL_S = 0.25
"""Between two looks at which node holds what, while something speaks for a change."""

Address = tuple[str, int]
_SLOTS_ASKED = pack(("CLUSTER", "SLOTS"))
_ASKING = pack(("ASKING",))
_DOWN = "CLUSTERDOWN"


class RedisCluster:
    """One `SingleServer` a node; which slots are whose is learnt from any of them.

    A node says MOVED or ASK to a command that it did not run, so sending it to the node that it names is
    no second attempt. What fails in any other way is not sent again.
    """

    def __init__(
        self,
        *,
        runtime: Runtime,
        seeds: Sequence[Address],
        driver_at: Callable[[Address], SingleServer],
        generation: Generation,
    ) -> None:
        """The drivers that `driver_at` makes share the `generation`."""
        if not seeds:
            raise ValueError("a cluster needs the address of at least one node")
        self._runtime = runtime
        self._generation = generation
        self._seeds = tuple(seeds)
        self._driver_at = driver_at
        self._drivers: dict[Address, SingleServer] = {}
        self._owners: list[Address | None] = [None] * SLOTS
        self._masters: tuple[Address, ...] = ()
        self._looking: Task[DependencyUnavailable | None] | None = None
        self._look_again_s = 0.0
        self._moves = 0
        self._connections_gone = self._pipelines_gone = self._commands_gone = 0
        self._turn = 0

    @property
    def connections(self) -> int:
        """A slot that another node took over counts as one, too: its last writes may not have reached it."""
        return self._moves + self._connections_gone + sum(d.connections for d in self._drivers.values())

    @property
    def pipelines(self) -> int:
        return self._pipelines_gone + sum(driver.pipelines for driver in self._drivers.values())

    @property
    def commands(self) -> int:
        return self._commands_gone + sum(driver.commands for driver in self._drivers.values())

    @property
    def generation(self) -> int:
        return self._generation.number

    @property
    def is_cluster(self) -> bool:
        return True

    def slot(self, key: bytes) -> int:
        return slot_of(key)

    async def execute(self, *command: bytes | str | int) -> Reply:
        return await self._send(pack(command), _slot_of_command(command))

    async def execute_packed(self, packed: bytes, key: bytes) -> Reply:
        return await self._send(packed, slot_of(key))

    async def execute_all_packed(self, packed: Sequence[bytes], key: bytes) -> Sequence[Reply]:
        return await self._send_in_order(packed, slot_of(key))

    async def execute_many(self, commands: Sequence[Command]) -> Sequence[Reply]:
        groups: dict[int, list[int]] = {}
        for number, command in enumerate(commands):
            groups.setdefault(_slot_of_command(command), []).append(number)
        works = [
            partial(self._send_in_order, [pack(commands[number]) for number in numbers], slot)
            for slot, numbers in groups.items()
        ]
        replies: list[Reply] = [None] * len(commands)
        for numbers, group in zip(groups.values(), await self.together(works), strict=True):
            for number, reply in zip(numbers, group, strict=True):
                replies[number] = reply
        return replies

    async def together(self, works: Sequence[Callable[[], Awaitable[Result]]]) -> list[Result]:
        return await together(self._runtime, works)

    async def reach(self) -> None:
        await self._look_now()
        await self.together([self._node(address).reach for address in self._masters])

    def listener(self) -> RedisListener:
        """To the nodes in turn: a message that is published at one reaches the subscribers of all."""
        addresses = self._masters or self._seeds
        self._turn += 1
        return self._node(addresses[self._turn % len(addresses)]).listener()

    async def close(self) -> None:
        # A look under way would open connections behind this; it ends by itself, in bounded time.
        if self._looking is not None:
            await self._looking.wait()
        for driver in list(self._drivers.values()):
            await driver.close()

    async def _send_in_order(self, packed: Sequence[bytes], slot: int) -> list[Reply]:
        address = await self._owner(slot)
        try:
            replies = list(await self._node(address).execute_all_packed(packed, b""))
        except DependencyUnavailable:
            self._look_soon()
            raise
        for number, reply in enumerate(replies):
            if isinstance(reply, ErrorReply):
                self._doubt(reply)
            if _is_redirect(reply):
                replies[number] = await self._follow(reply, packed[number], slot, address)
        return replies

    async def _send(self, packed: bytes, slot: int) -> Reply:
        address = self._owners[slot] or await self._owner(slot)
        try:
            reply = await self._node(address).execute_packed(packed, b"")
        except DependencyUnavailable:
            self._look_soon()
            raise
        if isinstance(reply, ErrorReply):
            self._doubt(reply)
        return await self._follow(reply, packed, slot, address) if _is_redirect(reply) else reply

    def _doubt(self, refusal: ErrorReply) -> None:
        """A node's word about itself may be news: the owners of slots are looked up."""
        if refusal.code == _DOWN or says_wrong_server(refusal.code, in_cluster=True):
            self._look_soon()

    async def _follow(self, reply: Reply, packed: bytes, slot: int, address: Address) -> Reply:
        """Where a command that was not run is run instead."""
        for _ in range(REDIRECTS_MAX):
            if not isinstance(reply, ErrorReply) or not _is_redirect(reply):
                break
            address = _named_in(reply, address)
            if reply.code == "ASK":
                reply = (await self._node(address).execute_all_packed([_ASKING, packed], b""))[1]
            else:
                self._own(slot, address)
                self._look_soon()
                reply = await self._node(address).execute_packed(packed, b"")
        return reply

    async def _owner(self, slot: int) -> Address:
        if self._owners[slot] is None:
            await self._look_now()
        address = self._owners[slot]
        if address is None:
            raise DependencyUnavailable(DEPENDENCY, "no node of the cluster holds this slot")
        return address

    def _own(self, slot: int, address: Address) -> None:
        before, self._owners[slot] = self._owners[slot], address
        if before is not None and before != address:
            self._moves += 1

    def _node(self, address: Address) -> SingleServer:
        if (driver := self._drivers.get(address)) is None:
            driver = self._drivers[address] = self._driver_at(address)
        return driver

    def _look_soon(self) -> None:
        """Something speaks for a change. The sender of the command does not wait for the look."""
        if self._looking is None and self._runtime.monotonic() >= self._look_again_s:
            self._looking = self._runtime.start(self._look, name="redis cluster look")

    async def _look_now(self) -> None:
        if self._looking is None:
            if self._runtime.monotonic() < self._look_again_s:
                if self._masters:
                    return
                raise DependencyUnavailable(DEPENDENCY, "no node of the cluster answered a moment ago")
            self._looking = self._runtime.start(self._look, name="redis cluster look")
        if (error := await self._looking.wait()) is not None:
            raise error

    async def _look(self) -> DependencyUnavailable | None:
        """Asks one node after the other who holds what, until one answers."""
        error = DependencyUnavailable(DEPENDENCY, "no node of the cluster answers")
        self._turn += 1
        turn = self._turn % max(1, len(self._masters))
        try:
            for address in dict.fromkeys((*self._masters[turn:], *self._masters[:turn], *self._seeds)):
                try:
                    reply = accepted(await self._node(address).execute_packed(_SLOTS_ASKED, b""))
                except DependencyUnavailable as unavailable:
                    error = unavailable
                    continue
                await self._learn(_ranges(reply, address[0]))
                return None
            return error
        finally:
            self._look_again_s = self._runtime.monotonic() + LOOK_INTERVAL_S
            self._looking = None

    async def _learn(self, ranges: Sequence[tuple[int, int, Address]]) -> None:
        if not ranges:
            return
        for first, last, address in ranges:
            for slot in range(first, last + 1):
                self._own(slot, address)
        self._masters = tuple(dict.fromkeys(address for _, _, address in ranges))
        # One that still has callers is left for a later look.
        gone = [a for a, driver in self._drivers.items() if a not in self._masters and not driver.pending]
        for address in gone:
            driver = self._drivers.pop(address)
            self._connections_gone += driver.connections
            self._pipelines_gone += driver.pipelines
            self._commands_gone += driver.commands
            await driver.close()


def slot_of(key: bytes) -> int:
    """Redis Cluster specification, *Hash tags*: of a key with braces what stands in the first pair."""
    start = key.find(b"{")
    if start >= 0 and (end := key.find(b"}", start + 1)) > start + 1:
        key = key[start + 1 : end]
    return crc_hqx(key, 0) % SLOTS


def _slot_of_command(command: Command) -> int:
    """Of its second word; what has none may go to any node."""
    if len(command) < 2:
        return 0
    word = command[1]
    return slot_of(word if isinstance(word, bytes) else str(word).encode())


def _is_redirect(reply: Reply) -> bool:
    return isinstance(reply, ErrorReply) and reply.code in ("MOVED", "ASK")


def _named_in(refusal: ErrorReply, asked: Address) -> Address:
    """`3999 127.0.0.1:6381`, without a host where it is the one that was asked."""
    host, _, port = refusal.detail.rpartition(" ")[2].rpartition(":")
    return host or asked[0], int(port)


def _ranges(reply: Reply, asked_host: str) -> list[tuple[int, int, Address]]:
    """What CLUSTER SLOTS says of the masters: first slot, last slot, address."""
    ranges: list[tuple[int, int, Address]] = []
    for entry in reply[:SLOTS] if isinstance(reply, list) else []:
        match entry:
            case [int() as first, int() as last, [bytes() | None as host, int() as port, *_], *_] if (
                host != b"?" and 0 <= first <= last < SLOTS
            ):
                ranges.append((first, last, ((host or b"").decode() or asked_host, port)))
            case _:
                continue
    return ranges


def _proof(cluster: RedisCluster) -> RedisDriver:
    """mypy holds the cluster to the drivers' seam here."""
    return cluster
