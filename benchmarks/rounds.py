"""What every measured process does: it answers one line of JSON for each round that it is asked for.

The first line on standard input is the configuration, the first on standard output `{"versions": …}`.
Then `{"seconds": …}` asks for a round, and the answer is its figures. The end of input ends the process.
Only the standard library: peers run this in their environment.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Configuration = Mapping[str, Any]
Figures = dict[str, float]
Round = Callable[[float], Awaitable[Figures]]
"""Measures for about so many seconds."""
Work = Callable[[int, int], Awaitable[None]]
"""One operation of caller `n`, its `i`-th in this round."""


def configuration() -> Configuration:
    """Credentials come this way, so that none stands in a process list."""
    read: Configuration = json.loads(sys.stdin.readline())
    return read


def say(answer: Mapping[str, object]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


async def answer_rounds(measure: Round, versions: Mapping[str, str]) -> None:
    """Until the end of input. Waits for a line in a thread, so that the event loop goes on."""
    say({"versions": dict(versions)})
    while line := await asyncio.to_thread(sys.stdin.readline):
        say(await measure(json.loads(line)["seconds"]))


def answer_rounds_in_order(measure: Callable[[float], Figures], versions: Mapping[str, str]) -> None:
    """The same without an event loop."""
    say({"versions": dict(versions)})
    while line := sys.stdin.readline():
        say(measure(json.loads(line)["seconds"]))


async def closed_loop(work: Work, *, callers: int, seconds: float) -> Figures:
    """So many callers, each with one operation under way at any time."""
    latencies: list[float] = []
    began = time.perf_counter()
    ends = began + seconds

    async def call(caller: int) -> None:
        index = 0
        now = time.perf_counter()
        while now < ends:
            await work(caller, index)
            index += 1
            before, now = now, time.perf_counter()
            latencies.append(now - before)

    await asyncio.gather(*(call(caller) for caller in range(callers)))
    took = time.perf_counter() - began
    latencies.sort()
    return {
        "per_second": len(latencies) / took,
        "p50_ms": percentile(latencies, 0.50) * 1000,
        "p99_ms": percentile(latencies, 0.99) * 1000,
    }


def repeated(work: Callable[[], int], seconds: float) -> float:
    """How much `work` gets done in a second of a core's time; it says how much it did.

    Measured in this process's own time: on a busy machine a second of the clock is less than that.
    """
    done, began = 0, time.process_time()
    now = began
    while now - began < seconds:
        done += work()
        now = time.process_time()
    return done / (now - began)


def percentile(ascending: list[float], share: float) -> float:
    """The nearest rank; 0 of nothing."""
    if not ascending:
        return 0.0
    return ascending[min(len(ascending) - 1, int(share * len(ascending)))]
