"""Reads of balances in the whole service, quiet and while many log in, in turn."""

from __future__ import annotations

import asyncio
import random
from contextlib import suppress
from typing import Final

import uvloop

from application.ledger.orders import Caller
from benchmarks.rounds import Configuration, Figures, answer_rounds, closed_loop, configuration
from benchmarks.sides.ledger import environment, open_accounts
from composition.config.load import load
from composition.config.settings import StoreName
from composition.hosting.assembly import assemble
from composition.hosting.process import collect_rarely
from composition.wiring.platform import RuntimeName
from domain.audit import RequestContext
from ports.errors import DependencyUnavailable
from ports.runtime import Overloaded

ACCOUNTS: Final = 100
READERS: Final = 8
LOGINS_AT_ONCE: Final = 32
CONTEXT: Final = RequestContext(request_id="bench", actor="nobody")


async def measure(config: Configuration) -> None:
    settings, files = load(environment(config), StoreName.LIVE)
    platform, manager = assemble(StoreName.LIVE, RuntimeName.UVLOOP, settings, files)
    who = Caller("bench-login-flood", "bench")
    async with platform.runtime.running():
        await manager.start()
        ledger, sessions = manager.use_cases.ledger, manager.use_cases.sessions
        await open_accounts(ledger, who, accounts=ACCOUNTS, owned=False)

        async def read(_: int, __: int) -> None:
            await ledger.account(who.book, f"account-{int(random.random() * ACCOUNTS)}")

        async def log_in(ended: asyncio.Event) -> None:
            # Nobody's name costs what anybody's does, and a new one each time is not delayed.
            while not ended.is_set():
                name = f"nobody-{random.getrandbits(64):x}"
                # What a limiter that is too slow refuses, a client would send again.
                with suppress(DependencyUnavailable, Overloaded):
                    await sessions.login(login=name, password="wrong horse", device_id=None, context=CONTEXT)

        async def measured(seconds: float) -> Figures:
            quiet = await closed_loop(read, callers=READERS, seconds=seconds / 2)
            ended = asyncio.Event()
            flood = [asyncio.create_task(log_in(ended)) for _ in range(LOGINS_AT_ONCE)]
            busy = await closed_loop(read, callers=READERS, seconds=seconds / 2)
            ended.set()
            await asyncio.gather(*flood)
            return {"p99_growth": busy["p99_ms"] / quiet["p99_ms"], "p99_ms": busy["p99_ms"]}

        try:
            await answer_rounds(measured, {})
        finally:
            await manager.stop()


if __name__ == "__main__":
    collect_rarely()  # As the service does.
    uvloop.run(measure(configuration()))
