"""The ledger of the whole service on a journal and accounts of a given size, filled before it starts."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

import uvloop

from application.ledger.book import Book
from application.ledger.book_ports import BookPorts
from application.ledger.orders import Caller, TransferOrder
from application.ledger.service import Ledger
from benchmarks.rounds import Configuration, Figures, answer_rounds, closed_loop, configuration
from benchmarks.sides.ledger import ASSET, EACH, environment, order_of, posted
from composition.config.load import load
from composition.config.settings import StoreName
from composition.hosting.assembly import assemble
from composition.hosting.process import collect_rarely
from composition.wiring.platform import RuntimeName
from composition.wiring.stores import Stores
from domain.ids import time_ordered_id
from domain.ledger.account import Account, AccountState
from domain.ledger.chain import AppendResult, Head, JournalDocument, seal
from domain.ledger.commands import (
    IssueGrant,
    OpenAccount,
    PostTransfer,
    Submission,
    opening_key,
    transfer_key,
)
from domain.ledger.lots import GrantTerms
from domain.ledger.machine import decide
from ports.errors import DependencyUnavailable
from ports.ledger.journal import Checkpoints, Journal

COMMANDS_A_DOCUMENT = 4_096
TRIES_MAX = 100


class Filler:
    """Writes a past as the ledger itself would have: decided, sealed, appended, checkpointed."""

    def __init__(self, book: str, journal: Journal, checkpoints: Checkpoints) -> None:
        self._book = book
        self._journal = journal
        self._checkpoints = checkpoints
        self._states: dict[str, AccountState] = {}
        self._head = Head()
        self._random = random.Random(1)

    async def fill(self, *, accounts: int, entries: int) -> None:
        """`entries` transfers after the opening of `accounts`, each with the same funds."""
        for start in range(0, accounts, COMMANDS_A_DOCUMENT // 2):
            names = [f"account-{n}" for n in range(start, min(start + COMMANDS_A_DOCUMENT // 2, accounts))]
            await self._append([Submission((command,)) for name in names for command in _opening(name)])
        for start in range(0, entries, COMMANDS_A_DOCUMENT):
            count = min(COMMANDS_A_DOCUMENT, entries - start)
            await self._append([Submission((self._transfer(accounts),)) for _ in range(count)])
        await self._checkpoint(list(self._states.values()))

    def _transfer(self, accounts: int) -> PostTransfer:
        source, destination = self._random.sample(range(accounts), 2)
        name = time_ordered_id("tr", time.time_ns() // 1_000_000, self._random.randbytes(10))
        return PostTransfer(
            name, f"account-{source}", f"account-{destination}", 5, "purchase", (transfer_key(name),),
            "f" * 32, "bench", repeatable=True,
        )  # fmt: skip

    async def _append(self, submissions: list[Submission]) -> None:
        time_ms = max(time.time_ns() // 1_000_000, self._head.time_ms)
        decision = decide(self._states, submissions, known={}, seq=self._head.seq + 1, time_ms=time_ms)
        nonce = f"{self._book}-{self._head.seq}"
        document = seal(self._book, self._head, decision.entries, time_ms=time_ms, nonce=nonce)
        await self._insert(document)
        self._head = document.head
        self._states.update(decision.changed)

    async def _insert(self, document: JournalDocument) -> None:
        """The same bytes again for as long as no answer comes: filling takes an hour where much else runs."""

        async def stands() -> bool:
            if await self._journal.append(document) is AppendResult.APPENDED:
                return True
            standing = await self._journal.at(self._book, document.seq)
            return standing is not None and standing.nonce == document.nonce

        await _until_answered(stands)

    async def _checkpoint(self, states: list[AccountState]) -> None:
        for start in range(0, len(states), 1_000):
            some = states[start : start + 1_000]

            async def saved(some: list[AccountState] = some) -> bool:
                await self._checkpoints.save(self._book, some)
                return True

            await _until_answered(saved)


async def _until_answered(step: Callable[[], Awaitable[bool]]) -> None:
    for _ in range(TRIES_MAX):
        with suppress(DependencyUnavailable):
            if await step():
                return
    raise RuntimeError("the past could not be written")


async def _warm(ledger: Ledger, who: Caller, accounts: int) -> None:
    """As after a day of work: as many accounts as fit are in memory. Each transfers once, in batches."""
    for start in range(0, accounts, COMMANDS_A_DOCUMENT):
        ids = range(start, min(start + COMMANDS_A_DOCUMENT, accounts) - 1, 2)
        orders = [TransferOrder(f"account-{n}", f"account-{n + 1}", 1, "purchase") for n in ids]

        async def transferred(orders: list[TransferOrder] = orders) -> bool:
            await ledger.transfer_batch(who, orders, atomic=False)
            return True

        await _until_answered(transferred)


def _opening(name: str) -> tuple[OpenAccount, IssueGrant]:
    grant = f"gr-{name}"
    return (
        OpenAccount(Account(name, ASSET), (opening_key(name),), "f" * 32, "bench"),
        IssueGrant(
            grant, name, EACH, GrantTerms("paid", 50), "grant", (transfer_key(grant),), "f" * 32, "bench"
        ),
    )


async def measure(config: Configuration) -> None:
    """Opens the book anew for each round, as a start does, then lets the callers transfer."""
    variables = {**environment(config), "CREDIT_LEDGER_ACCOUNTS_MAX": str(config["cached"])}
    settings, files = load(variables, StoreName.LIVE)
    platform, manager = assemble(StoreName.LIVE, RuntimeName.UVLOOP, settings, files)
    accounts, callers = config["accounts"], config["callers"]
    who = Caller(config["book"], "bench")
    async with platform.runtime.running():
        await manager.start()
        stores = manager.services.service("stores", Stores)
        ports = BookPorts(
            platform.runtime, platform.clock, platform.entropy, stores.journal, stores.checkpoints
        )
        filler = Filler(config["book"], stores.journal, stores.checkpoints)
        if await stores.journal.head(config["book"]) is None:
            # Else another measurement filled it, with another cache of MongoDB's.
            await filler.fill(accounts=accounts, entries=config["entries"])
        ledger = manager.use_cases.ledger
        await _warm(ledger, who, min(accounts, settings.ledger_accounts_max))

        async def one(caller: int, _: int) -> None:
            posted(await ledger.transfer(who, order_of(caller, accounts, hot=False)))

        async def measured(seconds: float) -> Figures:
            began = time.perf_counter()
            book = Book(who.book, ports, accounts_max=accounts)
            await book.start()
            await book.fresh()
            start_ms = (time.perf_counter() - began) * 1000
            figures = await closed_loop(one, callers=callers, seconds=seconds)
            return {**figures, "start_ms": start_ms}

        try:
            await answer_rounds(measured, {})
        finally:
            await manager.stop()


if __name__ == "__main__":
    collect_rarely()  # As the service does.
    uvloop.run(measure(configuration()))
