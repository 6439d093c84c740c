"""The ledger as a process of the service has it on a real MongoDB, and a crowd that never stops asking.

async with live_ledger(runtime, mongod, url) as ledger:
    async with crowd_of(runtime, [ledger]) as crowd:
        await crowd.goes_on()
        ...  # a fault begins, bites, ends
        await crowd.goes_on()
    await audit(ledger, crowd)
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from typing import Final

from adapters.mongo.driver.client import Bounds, ClientDriver
from adapters.mongo.driver.connect import DriverName
from adapters.mongo.driver.interface import MongoDriver
from adapters.mongo.indexes import create_indexes
from adapters.mongo.ledger import checkpoints as mongo_checkpoints
from adapters.mongo.ledger import journal as mongo_journal
from adapters.mongo.ledger.journal import MongoJournal
from adapters.mongo.ledger.server_clock import ServerClock
from adapters.runtime.system import SystemEntropy
from application.ledger.book_ports import BookPorts
from application.ledger.committed import CommittedBatch
from application.ledger.orders import AccountOrder, Caller, GrantOrder, TransferOrder
from application.ledger.service import Ledger
from domain.ledger.account import AccountState
from domain.ledger.chain import AppendResult, JournalDocument
from domain.ledger.outcomes import Outcome, Posted, Rejected, Rejection
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime
from tests.conformance.identity import connect_as_app
from tests.servers.fault_proxy import FaultProxy
from tests.servers.mongod import MongodServer
from tests.system.ledger_audit import BOOK, Told, audited, whole_journal

ASSET: Final = "GEMS"
WHO: Final = Caller(BOOK, "test")
ACCOUNTS: Final = tuple(f"account-{number}" for number in range(8))
FUNDS: Final = 1_000
CLIENTS: Final = 24
ANSWERS: Final = 3 * CLIENTS
"""So many more answers show that the crowd goes on."""
PATIENCE_S: Final = 20.0
AGAIN_S: Final = 0.02
"""How long a client waits before it sends an order again, and how often a condition is looked at."""

HASTY: Final = Bounds(
    operation_timeout_ms_max=400, server_selection_timeout_ms_max=400, connect_timeout_ms_max=400
)
"""Far longer than any call takes on one machine, and short enough that a fault outlasts it."""

PADDING: Final = "x" * 3_000
LARGE_BYTES: Final = len(PADDING)
"""An append of padded transfers is larger; handshakes, heartbeats and reads are far smaller."""


class WatchedJournal(MongoJournal):
    """Counts how appends ended: a fault that bit nothing shows nothing."""

    def __init__(self, driver: MongoDriver) -> None:
        super().__init__(driver)
        self.ended: Counter[AppendResult] = Counter()
        self.before_next: Callable[[], None] | None = None
        """What happens just before the next append is sent, once."""

    async def append(self, document: JournalDocument) -> AppendResult:
        if (happens := self.before_next) is not None:
            self.before_next = None
            happens()
        result = await super().append(document)
        self.ended[result] += 1
        return result


class LiveLedger:
    """One process's ledger, journal and driver."""

    def __init__(self, driver: ClientDriver, journal: WatchedJournal, ledger: Ledger) -> None:
        self.driver = driver
        self.journal = journal
        self.ledger = ledger

    async def forget_checkpoints(self) -> None:
        """Deletes all that can be made again from the journal."""
        for collection in (mongo_checkpoints.COLLECTION, mongo_checkpoints.SNAPSHOTS):
            await self.driver.collection(collection).delete_many({})


async def _unheard(_batch: CommittedBatch) -> None:
    """Nobody listens to announcements here."""


@asynccontextmanager
async def live_ledger(
    runtime: Runtime,
    mongod: MongodServer,
    url: str,
    *,
    bounds: Bounds = HASTY,
    driver_name: DriverName = "pymongo",
    journal_of: Callable[[MongoDriver], WatchedJournal] = WatchedJournal,
) -> AsyncIterator[LiveLedger]:
    """A process of its own as far as the ledger can tell: it shares nothing with another one but MongoDB."""
    async with AsyncExitStack() as stack:
        await _prepare(runtime, mongod, url, driver_name)
        driver = await connect_as_app(runtime, mongod, url, driver_name, bounds)
        stack.push_async_callback(driver.close)
        clock = ServerClock(driver=driver, runtime=runtime)
        await clock.start()
        stack.push_async_callback(clock.stop)
        journal = journal_of(driver)
        ports = BookPorts(
            runtime, clock, SystemEntropy(), journal, mongo_checkpoints.MongoCheckpoints(driver)
        )
        ledger = Ledger(ports, accounts_max=1_000, announce=_unheard)
        ledger.start()
        stack.push_async_callback(ledger.stop)
        yield LiveLedger(driver, journal, ledger)


async def _prepare(runtime: Runtime, mongod: MongodServer, url: str, driver_name: DriverName) -> None:
    """Within the service's own bounds: a busy machine may take longer to make an index than hasty ones allow,
    and an election may be under way."""
    driver = await connect_as_app(runtime, mongod, url, driver_name, Bounds())
    try:
        await create_indexes(driver, [mongo_journal.INDEXES, mongo_checkpoints.INDEXES])
    finally:
        await driver.close()


async def until(runtime: Runtime, condition: Callable[[], bool], what: str) -> None:
    """Returns once it is true; fails when it has not become so in time."""
    give_up_s = runtime.monotonic() + PATIENCE_S
    while not condition():
        assert runtime.monotonic() < give_up_s, f"not within {PATIENCE_S} s: {what}"
        await runtime.sleep(AGAIN_S)


class Crowd:
    """Clients that each move credits between accounts by chance, one order after the other. Whoever gets
    no answer sends the same order again; now and then one that was answered is sent again as well."""

    def __init__(self, runtime: Runtime, ledgers: Sequence[LiveLedger]) -> None:
        self.told = Told()
        self.ledgers = list(ledgers)
        """Each order goes to one of them by chance."""
        self.answers = 0
        self.unanswered = 0
        """How often a client was told that nobody knows."""
        self._runtime = runtime
        self._stopping = False
        self._orders: list[TransferOrder] = []

    async def open_accounts(self) -> None:
        for account in ACCOUNTS:
            ledger = self.ledgers[0].ledger
            posted(await ledger.open_account(WHO, AccountOrder(ASSET, id=account)))
            grant = GrantOrder(account, FUNDS, "paid", 50, "grant")
            posted(await ledger.grant(WHO, grant))

    def stop(self) -> None:
        self._stopping = True

    async def goes_on(self) -> None:
        """Returns when the crowd was answered again and again."""
        before = self.answers
        await until(self._runtime, lambda: self.answers >= before + ANSWERS, "answers to the crowd")

    async def until_answered(self, order: TransferOrder) -> Outcome:
        while True:
            try:
                return await random.choice(self.ledgers).ledger.transfer(WHO, order)
            except DependencyUnavailable:
                self.unanswered += 1
                await self._runtime.sleep(AGAIN_S)

    async def client(self, name: int) -> None:
        number = 0
        while not self._stopping:
            number += 1
            if self._orders and random.random() < 0.2:
                again = random.choice(self._orders)
                outcome = posted(await self.until_answered(again))
                assert outcome.replayed
                self.told.remember(again.id or "", outcome)
            else:
                await self._move(f"t-{name}-{number}")
            self.answers += 1

    async def _move(self, id: str) -> None:
        source, destination = random.sample([*ACCOUNTS, "@revenue"], 2)
        # Now and then more than there is: a rejection must be true, too.
        order = TransferOrder(source, destination, random.randrange(1, FUNDS // 2), "test", id, padding())
        outcome = await self.until_answered(order)
        self.told.remember(id, outcome)
        if isinstance(outcome, Rejected):
            assert outcome.reason is Rejection.INSUFFICIENT_FUNDS
        else:
            self._orders.append(order)


def posted(outcome: Outcome) -> Posted:
    assert isinstance(outcome, Posted), outcome
    return outcome


def padding() -> str:
    """Metadata that makes a transfer `LARGE_BYTES` at least."""
    return f'{{"padding":"{PADDING}"}}'


@asynccontextmanager
async def crowd_of(runtime: Runtime, ledgers: Sequence[LiveLedger]) -> AsyncIterator[Crowd]:
    """While the block lasts they ask; it ends when each has had its last answer."""
    crowd = Crowd(runtime, ledgers)
    await crowd.open_accounts()
    clients = [runtime.start(partial(crowd.client, name), name=f"client {name}") for name in range(CLIENTS)]
    try:
        yield crowd
    except BaseException:
        for client in clients:
            client.cancel()
        raise
    crowd.stop()
    async with runtime.deadline(PATIENCE_S):
        for client in clients:
            await client.wait()


async def audit(reader: LiveLedger, told: Told) -> dict[str, AccountState]:
    """The journal is what clients were told, and this reader's accounts are what follows from it."""
    states = audited(await whole_journal(reader.journal), told)
    for key, state in states.items():
        name, _, asset = key.partition(":")
        assert await reader.ledger.account(BOOK, name, asset=asset or None) == state
    return states


@asynccontextmanager
async def two_processes_and_a_crowd(
    runtime: Runtime, mongod: MongodServer, url: str, bounds: Bounds = HASTY
) -> AsyncIterator[tuple[LiveLedger, LiveLedger, Crowd]]:
    """A crowd goes on at two processes before, during and after what is done in the block; then all is
    audited, through them and through a third that has the journal alone to start from."""
    async with (
        live_ledger(runtime, mongod, url, bounds=bounds) as first,
        live_ledger(runtime, mongod, url, bounds=bounds) as second,
    ):
        async with crowd_of(runtime, [first, second]) as crowd:
            await crowd.goes_on()
            yield first, second, crowd
            await crowd.goes_on()
        states = await audit(first, crowd.told)
        assert await audit(second, crowd.told) == states
        await first.forget_checkpoints()
        async with live_ledger(runtime, mongod, url, bounds=bounds) as third:
            assert await audit(third, crowd.told) == states


def unknown_of(crowd: Crowd) -> int:
    """How many appends ended without anybody knowing how."""
    return sum(each.journal.ended[AppendResult.UNKNOWN] for each in crowd.ledgers)


@contextmanager
def proxied(mongod: MongodServer, url: str) -> Iterator[tuple[FaultProxy, str]]:
    """A proxy in front of mongod, and the URL of a client that goes through it: a direct one, since the
    replica set would tell it mongod's own address."""
    with FaultProxy(mongod.port).running() as proxy:
        yield proxy, url.replace(f":{mongod.port}/", f":{proxy.port}/") + "&directConnection=true"
