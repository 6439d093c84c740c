"""A serving process: its event loop, its signals and its orderly end."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from composition.exit_codes import EXIT_INTERRUPTED
from composition.hosting.heartbeat import BEAT_S
from composition.wiring.platform import RuntimeName

STOP_EXTRA_S_MAX = 15.0
"""The time for the services to stop, after the grace of requests. Then the process ends in any case."""
GC_ALLOCATIONS = 20_000
"""Net allocations of containers before the youngest generation is collected."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)

_log = logging.getLogger("credit.process")


class Serve(Protocol):
    """Serves until `stop` returns and the requests in flight have ended."""

    async def __call__(self, stop: Callable[[], Awaitable[Any]]) -> None: ...


def collect_rarely() -> None:
    """Exempts everything imported from garbage collection, and collects less often.

    A batch of the ledger makes tens of thousands of tuples, which reference counts free. Collecting at every
    700 allocations would cost a quarter of its time.
    """
    gc.freeze()
    gc.set_threshold(GC_ALLOCATIONS, 10, 10)


def run(
    name: RuntimeName,
    serve: Serve,
    *,
    drain: Callable[[], Awaitable[None]],
    grace_s: float,
    leash: bool = False,
    beat: Callable[[], None] | None = None,
) -> None:
    """Runs until SIGINT or SIGTERM, then ends in order. A second signal ends the process at once.

    `drain` runs while the server waits for requests in flight, up to `grace_s`. With a `leash`, the end of
    standard input shows that the supervisor is gone, and stops the process. The event loop calls `beat` every
    `BEAT_S`.
    """
    collect_rarely()
    if name is RuntimeName.TRIO:
        _run_on_trio(serve, drain, grace_s, leash, beat)
        return
    loop_factory = None
    if name is RuntimeName.UVLOOP:
        import uvloop  # noqa: PLC0415 - an optional package

        loop_factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        runner.run(_on_asyncio(serve, drain, grace_s, leash, beat))


def end_at_once(code: int = EXIT_INTERRUPTED) -> None:
    """Ends the process without the interpreter's shutdown, after output and logs are written."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    logging.shutdown()
    os._exit(code)


def _watch_leash(pull: Callable[[], object]) -> None:
    def watch() -> None:
        while os.read(0, 1):
            pass
        pull()

    threading.Thread(target=watch, name="leash", daemon=True).start()


async def _on_asyncio(
    serve: Serve,
    drain: Callable[[], Awaitable[None]],
    grace_s: float,
    leash: bool,
    beat: Callable[[], None] | None,
) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def on_signal() -> None:
        if stop.is_set():
            end_at_once()
        stop.set()

    for number in SIGNALS:
        loop.add_signal_handler(number, on_signal)
    if leash:
        _watch_leash(lambda: loop.call_soon_threadsafe(stop.set))
    beating = [] if beat is None else [asyncio.create_task(_keep_beating(beat, asyncio.sleep))]
    draining: list[asyncio.Task[None]] = []

    async def stopped() -> None:
        await stop.wait()
        draining.append(asyncio.create_task(_quietly(drain)))

    serving = asyncio.create_task(serve(stopped))
    try:
        await asyncio.wait((serving, asyncio.ensure_future(stop.wait())), return_when=asyncio.FIRST_COMPLETED)
        # From Python 3.12 on, a server waits for its connections without a bound.
        await asyncio.wait((serving,), timeout=grace_s + STOP_EXTRA_S_MAX)
        if not serving.done():
            _log.warning("requests did not end in %s s and are cut off", grace_s + STOP_EXTRA_S_MAX)
            serving.cancel()
        await asyncio.gather(serving, *draining)
    except asyncio.CancelledError:
        if not serving.cancelled():
            raise
    finally:
        for each in beating:
            each.cancel()


async def _keep_beating(beat: Callable[[], None], sleep: Callable[[float], Awaitable[None]]) -> None:
    while True:
        beat()
        await sleep(BEAT_S)


def _run_on_trio(
    serve: Serve,
    drain: Callable[[], Awaitable[None]],
    grace_s: float,
    leash: bool,
    beat: Callable[[], None] | None,
) -> None:
    import trio  # noqa: PLC0415 - trio costs others' start

    async def main() -> None:
        stop = trio.Event()

        async def watch_signals() -> None:
            with trio.open_signal_receiver(*SIGNALS) as received:
                async for _ in received:
                    if stop.is_set():
                        end_at_once()
                    stop.set()

        async def cut_off() -> None:
            await stop.wait()
            await trio.sleep(grace_s + STOP_EXTRA_S_MAX)
            _log.warning("requests did not end in %s s and are cut off", grace_s + STOP_EXTRA_S_MAX)
            nursery.cancel_scope.cancel()

        async def stopped() -> None:
            await stop.wait()
            nursery.start_soon(_quietly, drain)

        if leash:
            token = trio.lowlevel.current_trio_token()
            _watch_leash(lambda: token.run_sync_soon(stop.set))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch_signals)
            nursery.start_soon(cut_off)
            if beat is not None:
                nursery.start_soon(_keep_beating, beat, trio.sleep)
            await serve(stopped)
            nursery.cancel_scope.cancel()

    trio.run(main)


async def _quietly(drain: Callable[[], Awaitable[None]]) -> None:
    try:
        await drain()
    except Exception:  # noqa: BLE001 - no failure may stop the orderly end
        _log.exception("connections did not drain in order")
