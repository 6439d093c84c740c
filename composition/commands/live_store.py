"""Runs a command on the live store, without a server."""

from __future__ import annotations

import asyncio
import getpass
from collections.abc import Awaitable, Callable, Mapping

from adapters.memory.metrics import MemoryMetrics
from adapters.runtime.system import SystemClock, SystemEntropy
from application.ledger.committed import CommittedBatch
from composition.config.load import load
from composition.config.settings import StoreName
from composition.exit_codes import failed
from composition.wiring.open_stores import open_stores
from composition.wiring.platform import Platform, RuntimeName, make_runtime
from composition.wiring.use_cases import UseCases, build_use_cases
from domain.audit import RequestContext
from ports.errors import DependencyUnavailable

PAGE_ITEMS = 200
"""Items of one page of a list that a command prints."""


def operator() -> RequestContext:
    """The context of a command. Its actor is `creditctl:` and the user's name in the operating system."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = "unknown"
    return RequestContext(request_id="creditctl", actor=f"creditctl:{name}")


def on_live_store(environ: Mapping[str, str], act: Callable[[UseCases], Awaitable[int]]) -> int:
    """Opens the store as a server does, runs `act`, and closes the store. The exit code of `act`.

    Raises `ConfigurationInvalid`.
    """
    settings, secrets = load(environ, StoreName.LIVE)

    async def main() -> int:
        platform = Platform(
            runtime=make_runtime(RuntimeName.ASYNCIO),
            clock=SystemClock(),
            entropy=SystemEntropy(),
            metrics=MemoryMetrics(),
        )

        async def announce_nothing(_: CommittedBatch) -> None:
            return

        async with platform.runtime.running():
            stores = await open_stores(StoreName.LIVE, platform, settings, secrets)
            try:
                await stores.start()
                use_cases = build_use_cases(platform, settings, secrets, stores, announce=announce_nothing)
                return await act(use_cases)
            finally:
                await stores.stop()

    try:
        return asyncio.run(main())
    except DependencyUnavailable as error:
        return failed(str(error))
