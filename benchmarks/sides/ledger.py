"""The ledger of the whole service: live store, announcements, metrics and checkpoints are on."""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

import uvloop

from application.ledger.orders import AccountOrder, Caller, GrantOrder, TransferOrder
from application.ledger.service import Ledger
from benchmarks.rounds import Configuration, Figures, Work, answer_rounds, closed_loop, configuration
from composition.config.load import load
from composition.config.settings import StoreName
from composition.hosting.assembly import assemble
from composition.hosting.process import collect_rarely
from composition.wiring.platform import RuntimeName
from domain.ledger.outcomes import Outcome, Rejected

ASSET = "GOLD"
EACH = 10**12
OPENED_AT_ONCE = 500
HOT = "account-0"


def environment(config: Configuration) -> dict[str, str]:
    """Where the servers are, as the service reads it."""
    return {
        "CREDIT_MONGO_URL": config["mongo_url"],
        "CREDIT_REDIS_URL": config["redis_url"],
        "CREDIT_SECRETS_DIR": str(Path(config["secrets_dir"])),
        "CREDIT_LOG_LEVEL": "warning",
    }


class Refused(Exception):
    """The ledger refused what it should have posted: nothing measured here means anything."""


async def open_accounts(ledger: Ledger, caller: Caller, *, accounts: int, owned: bool) -> None:
    """All with the same funds. An owned account's owner is told of every change."""

    async def open_one(index: int) -> None:
        name = f"account-{index}"
        order = AccountOrder(ASSET, id=name, user_id=f"user-{index}" if owned else None)
        posted(await ledger.open_account(caller, order))
        grant = GrantOrder(name, EACH, category="paid", priority=50, code="grant")
        posted(await ledger.grant(caller, grant))

    for start in range(0, accounts, OPENED_AT_ONCE):
        some = range(start, min(start + OPENED_AT_ONCE, accounts))
        await asyncio.gather(*(open_one(index) for index in some))


def posted(outcome: Outcome) -> None:
    if isinstance(outcome, Rejected):
        raise Refused(outcome.reason.value)


def order_of(caller: int, accounts: int, *, hot: bool) -> TransferOrder:
    """Between two accounts by chance, or from the hot one; under an id that the client made."""
    # A float is chosen five times as fast as an integer: the callers' own time counts on every side.
    source = HOT if hot else f"account-{int(random.random() * accounts)}"
    destination = f"account-{1 + int(random.random() * (accounts - 1))}"
    if destination == source:
        destination = HOT
    # Time first: ids that sort by time keep an index's inserts at one end, for every side alike.
    return TransferOrder(source, destination, 5, "purchase", id=f"{time.time_ns():x}-{caller}")


async def measure(config: Configuration) -> None:
    """One scenario: `callers` with a transfer each, or, with `batch`, that many transfers at once."""
    settings, files = load(environment(config), StoreName.LIVE)
    link_directory = Path(config["link_directory"]) if config.get("link_directory") else None
    platform, manager = assemble(
        StoreName.LIVE, RuntimeName.UVLOOP, settings, files, link_directory=link_directory
    )
    accounts, callers, batch, hot = (config[name] for name in ("accounts", "callers", "batch", "hot"))
    who = Caller(config["book"], "bench")
    async with platform.runtime.running():
        await manager.start()
        ledger = manager.use_cases.ledger
        await open_accounts(ledger, who, accounts=accounts, owned=config["owned"])

        async def one(caller: int, _: int) -> None:
            posted(await ledger.transfer(who, order_of(caller, accounts, hot=hot)))

        async def many(_: int, index: int) -> None:
            orders = [order_of(index * batch + each, accounts, hot=hot) for each in range(batch)]
            for outcome in await ledger.transfer_batch(who, orders, atomic=False):
                posted(outcome)

        work: Work = many if batch else one

        async def measured(seconds: float) -> Figures:
            figures = await closed_loop(work, callers=callers, seconds=seconds)
            figures["per_second"] *= batch or 1
            return figures

        try:
            await answer_rounds(measured, {})
        finally:
            await manager.stop()


if __name__ == "__main__":
    collect_rarely()  # As the service does.
    uvloop.run(measure(configuration()))
