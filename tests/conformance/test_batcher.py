"""What every runtime's batcher promises: group commit without a timer, bounded, fair to each caller."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextvars import ContextVar
from functools import partial

import pytest

from adapters.runtime.asyncio_runtime import AsyncioRuntime
from ports.runtime import Batcher, DeadlineExceeded, Event, Overloaded, Runtime, Task, TaskCancelled
from tests.conformance.runtimes import Driver

SOON_S = 0.01

request_id: ContextVar[str] = ContextVar("request_id", default="none")


class Gate:
    """A flush that a test holds open: each waits for its turn, notes its batch and doubles it."""

    def __init__(self, runtime: Runtime, *, opened: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.entered: Event = runtime.event()
        self.open: Event = runtime.event()
        if opened:
            self.open.set()

    async def flush(self, items: Sequence[int]) -> list[int]:
        self.entered.set()
        await self.open.wait()
        self.batches.append(list(items))
        return [item * 2 for item in items]


async def occupy(runtime: Runtime, gate: Gate, batcher: Batcher[int, int]) -> Task[int]:
    """Puts one item under flush, so that all that follow wait in line."""
    task = runtime.start(lambda: batcher.submit(0), name="first")
    await gate.entered.wait()
    return task


async def in_line(runtime: Runtime, batcher: Batcher[int, int], *items: int) -> list[Task[int]]:
    """Submits each in its own task, in order. When it returns, all stand in line.

    `submit` takes its item before it first awaits, so right after `asking` is set.
    """
    tasks = []
    for item in items:
        asking = runtime.event()

        async def submit(item: int = item, asking: Event = asking) -> int:
            asking.set()
            return await batcher.submit(item)

        tasks.append(runtime.start(submit, name=f"submit {item}"))
        await asking.wait()
    return tasks


def test_a_lone_item_is_flushed_at_once(run: Driver) -> None:
    async def body(runtime: Runtime) -> float:
        gate = Gate(runtime, opened=True)
        batcher = runtime.batcher(gate.flush, items_max=10, waiting_max=10)
        began = runtime.monotonic()
        assert await batcher.submit(1) == 2
        assert await batcher.submit(2) == 4
        assert gate.batches == [[1], [2]]
        return runtime.monotonic() - began

    waited_s = run(body)
    if run.runtime == "simulated":
        assert waited_s == 0


def test_items_that_arrive_during_a_flush_go_together_in_the_next(run: Driver) -> None:
    async def body(runtime: Runtime) -> list[list[int]]:
        gate = Gate(runtime)
        batcher = runtime.batcher(gate.flush, items_max=10, waiting_max=10)
        first = await occupy(runtime, gate, batcher)
        others = await in_line(runtime, batcher, 1, 2, 3)
        gate.open.set()
        assert await first.wait() == 0
        assert [await other.wait() for other in others] == [2, 4, 6]
        return gate.batches

    assert run(body) == [[0], [1, 2, 3]]


def test_who_was_answered_and_comes_again_at_once_joins_those_who_wait(run: Driver) -> None:
    async def body(runtime: Runtime) -> list[list[int]]:
        gate = Gate(runtime)
        batcher = runtime.batcher(gate.flush, items_max=10, waiting_max=10)

        async def twice() -> None:
            await batcher.submit(0)
            await batcher.submit(3)

        again = runtime.start(twice, name="twice")
        await gate.entered.wait()
        others = await in_line(runtime, batcher, 1, 2)
        gate.open.set()
        for task in (again, *others):
            await task.wait()
        return gate.batches

    batches = run(body)
    if run.runtime != "simulated":  # Who was woken runs there when the seed says.
        assert batches == [[0], [1, 2, 3]]
    assert [item for batch in batches for item in batch] == [0, 1, 2, 3]


def test_a_flush_takes_no_more_than_items_max(run: Driver) -> None:
    async def body(runtime: Runtime) -> list[list[int]]:
        gate = Gate(runtime)
        batcher = runtime.batcher(gate.flush, items_max=2, waiting_max=10)
        first = await occupy(runtime, gate, batcher)
        others = await in_line(runtime, batcher, 1, 2, 3)
        gate.open.set()
        for task in (first, *others):
            await task.wait()
        return gate.batches

    assert run(body) == [[0], [1, 2], [3]]


def test_a_flush_weighs_no_more_than_weight_max_and_a_heavier_item_goes_alone(run: Driver) -> None:
    async def body(runtime: Runtime) -> list[list[int]]:
        gate = Gate(runtime)
        batcher = runtime.batcher(
            gate.flush, items_max=9, waiting_max=9, weigh=lambda item: item, weight_max=10
        )
        first = await occupy(runtime, gate, batcher)
        others = await in_line(runtime, batcher, 6, 4, 1, 50, 2, 3)
        gate.open.set()
        for task in (first, *others):
            await task.wait()
        return gate.batches

    assert run(body) == [[0], [6, 4], [1], [50], [2, 3]]


def test_one_item_more_than_may_wait_is_refused_and_nothing_happens_to_it(run: Driver) -> None:
    async def body(runtime: Runtime) -> list[list[int]]:
        gate = Gate(runtime)
        batcher = runtime.batcher(gate.flush, items_max=9, waiting_max=3)
        first = await occupy(runtime, gate, batcher)
        others = await in_line(runtime, batcher, 1, 2)
        with pytest.raises(Overloaded):
            await batcher.submit_many([7, 8])
        others += await in_line(runtime, batcher, 3)
        with pytest.raises(Overloaded):
            await batcher.submit(9)
        gate.open.set()
        for task in (first, *others):
            await task.wait()
        assert await batcher.submit(4) == 8
        return gate.batches

    assert run(body) == [[0], [1, 2, 3], [4]]


def test_many_items_keep_their_order_over_several_flushes(run: Driver) -> None:
    async def body(runtime: Runtime) -> list[list[int]]:
        gate = Gate(runtime)
        batcher = runtime.batcher(gate.flush, items_max=3, waiting_max=20)
        first = await occupy(runtime, gate, batcher)
        before = await in_line(runtime, batcher, 1)
        asking = runtime.event()

        async def submit_many() -> Sequence[int]:
            asking.set()
            return await batcher.submit_many([10, 11, 12, 13, 14, 15])

        many = runtime.start(submit_many, name="many")
        await asking.wait()
        after = await in_line(runtime, batcher, 2)
        gate.open.set()
        assert await many.wait() == [20, 22, 24, 26, 28, 30]
        for task in (first, *before, *after):
            await task.wait()
        assert await batcher.submit_many([]) == []
        return gate.batches

    assert run(body) == [[0], [1, 10, 11], [12, 13, 14], [15, 2]]


def test_a_failed_flush_fails_its_own_batch_and_the_next_goes_on(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        gate = Gate(runtime)

        async def flush(items: Sequence[int]) -> list[int]:
            results = await gate.flush(items)
            if 1 in items:
                raise ConnectionError("lost")
            return results

        batcher = runtime.batcher(flush, items_max=2, waiting_max=9)
        first = await occupy(runtime, gate, batcher)
        one, two, three = await in_line(runtime, batcher, 1, 2, 3)

        async def expect(task: Task[int], waiting: Event) -> None:
            waiting.set()
            with pytest.raises(ConnectionError, match="lost"):
                await task.wait()

        # Waited for before they fail: a failure that is waited for is nobody else's business.
        failures = []
        for task in (one, two):
            waiting = runtime.event()
            failures.append(runtime.start(partial(expect, task, waiting), name="expect"))
            await waiting.wait()
        gate.open.set()
        for failure in failures:
            await failure.wait()
        assert await first.wait() == 0
        assert await three.wait() == 6
        with pytest.raises(ConnectionError):
            await batcher.submit_many([5, 6, 1])
        assert await batcher.submit(4) == 8

    run(body)


def test_a_flush_with_the_wrong_number_of_results_fails_its_batch(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        async def flush(items: Sequence[int]) -> list[int]:
            return [*items, 0]

        batcher = runtime.batcher(flush, items_max=2, waiting_max=9)
        for _ in range(2):
            with pytest.raises(RuntimeError, match="2 results for 1 items"):
                await batcher.submit(1)

    run(body)


def test_a_cancelled_caller_does_not_withdraw_its_item(run: Driver) -> None:
    async def body(runtime: Runtime) -> list[list[int]]:
        gate = Gate(runtime)
        batcher = runtime.batcher(gate.flush, items_max=9, waiting_max=9)
        first = await occupy(runtime, gate, batcher)
        one, two = await in_line(runtime, batcher, 1, 2)
        first.cancel()
        one.cancel()
        for task in (first, one):
            with pytest.raises(TaskCancelled):
                await task.wait()
        gate.open.set()
        assert await two.wait() == 4
        return gate.batches

    assert run(body) == [[0], [1, 2]]


def test_a_failed_flush_that_no_caller_hears_of_is_reported(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        go = runtime.event()

        async def commit(_items: Sequence[int]) -> list[int]:
            await go.wait()
            raise ConnectionError("lost")

        batcher = runtime.batcher(commit, items_max=9, waiting_max=9)
        with pytest.raises(DeadlineExceeded):
            async with runtime.deadline(SOON_S):
                await batcher.submit(1)
        go.set()
        while not run.unheard:
            await runtime.sleep(0)

    run(body)
    [(name, error)] = run.unheard
    run.unheard.clear()
    assert "commit" in name
    assert isinstance(error, ConnectionError)


def test_callers_hear_when_the_runtime_gives_their_flush_up() -> None:
    async def main() -> list[list[int]]:
        runtime = AsyncioRuntime(shutdown_grace_s_max=SOON_S)
        async with runtime.running():
            gate = Gate(runtime)
            batcher: Batcher[int, int] = runtime.batcher(gate.flush, items_max=1, waiting_max=9)
            # Tasks of a server outlive the runtime's own.
            under_flush = asyncio.create_task(batcher.submit(0))
            await gate.entered.wait()
            in_line = [
                asyncio.create_task(batcher.submit(1)),
                asyncio.create_task(batcher.submit_many([2, 3])),
            ]
        for caller in (under_flush, *in_line):
            with pytest.raises(TaskCancelled):
                await caller
        with pytest.raises(RuntimeError):
            await batcher.submit(4)
        return gate.batches

    assert asyncio.run(asyncio.wait_for(main(), 30)) == []


def test_a_flush_does_not_run_in_the_context_of_the_caller_who_started_it(run: Driver) -> None:
    async def body(runtime: Runtime) -> list[str]:
        seen: list[str] = []

        async def flush(items: Sequence[int]) -> Sequence[int]:
            seen.append(request_id.get())
            return items

        batcher = runtime.batcher(flush, items_max=9, waiting_max=9)
        request_id.set("of one caller")
        await batcher.submit(1)
        return seen

    assert run(body) == ["none"]


def test_bounds_that_make_no_sense_are_refused(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        gate = Gate(runtime)
        with pytest.raises(ValueError):
            runtime.batcher(gate.flush, items_max=0, waiting_max=1)
        with pytest.raises(ValueError):
            runtime.batcher(gate.flush, items_max=1, waiting_max=0)
        with pytest.raises(ValueError):
            runtime.batcher(gate.flush, items_max=1, waiting_max=1, weight_max=5)
        with pytest.raises(ValueError):
            runtime.batcher(gate.flush, items_max=1, waiting_max=1, weigh=lambda item: item)

    run(body)
