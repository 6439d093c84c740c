"""What every runtime promises of events, locks and tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial

import pytest

from adapters.runtime.asyncio_runtime import AsyncioRuntime
from ports.runtime import DeadlineExceeded, Event, Runtime, TaskCancelled
from tests.conformance.runtimes import Driver

SOON_S = 0.01
NEVER_S = 3600.0

request_id: ContextVar[str] = ContextVar("request_id", default="none")


def waiting_on(event: Event, began: Event) -> Callable[[], Awaitable[None]]:
    async def wait() -> None:
        began.set()
        await event.wait()

    return wait


# --- events and locks


def test_an_event_wakes_all_who_wait_and_stays_set(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        event = runtime.event()
        began = [runtime.event() for _ in range(3)]
        tasks = [runtime.start(waiting_on(event, one), name="waiter") for one in began]
        for one in began:
            await one.wait()
        assert not event.is_set()
        event.set()
        for task in tasks:
            await task.wait()
        event.set()
        await event.wait()
        assert event.is_set()

    run(body)


def test_a_lock_lets_one_in_and_serves_in_order_of_arrival(run: Driver) -> None:
    async def body(runtime: Runtime) -> list[int]:
        lock = runtime.lock()
        order: list[int] = []
        inside = 0

        async def enter(number: int, asking: Event) -> None:
            nonlocal inside
            asking.set()
            async with lock:
                inside += 1
                order.append(number)
                await runtime.sleep(0)
                assert inside == 1
                inside -= 1

        tasks = []
        async with lock:
            for number in range(4):
                asking = runtime.event()
                tasks.append(runtime.start(partial(enter, number, asking), name=f"enter {number}"))
                # It stands in line when this returns: nothing is awaited between the two.
                await asking.wait()
        for task in tasks:
            await task.wait()
        return order

    assert run(body) == [0, 1, 2, 3]


def test_one_cancelled_in_line_for_a_lock_does_not_block_it(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        lock = runtime.lock()
        began = runtime.event()

        async def enter() -> None:
            began.set()
            async with lock:
                pass

        async with lock:
            task = runtime.start(enter, name="enter")
            await began.wait()
            task.cancel()
            with pytest.raises(TaskCancelled):
                await task.wait()
        await enter()

    run(body)


# --- tasks


def test_every_waiter_gets_the_result(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        async def answer() -> int:
            await runtime.sleep(0)
            return 42

        task = runtime.start(answer, name="answer")
        waiters = [runtime.start(task.wait, name="waiter") for _ in range(3)]
        assert [await waiter.wait() for waiter in waiters] == [42, 42, 42]
        assert await task.wait() == 42

    run(body)


def test_every_waiter_gets_the_exception_and_it_is_not_reported(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        go = runtime.event()

        async def fail() -> None:
            await go.wait()
            raise LookupError("lost")

        task = runtime.start(fail, name="fail")

        async def expect(waiting: Event) -> None:
            waiting.set()
            with pytest.raises(LookupError, match="lost"):
                await task.wait()

        waits = [runtime.event(), runtime.event()]
        waiters = [runtime.start(partial(expect, waiting), name="expect") for waiting in waits]
        for waiting in waits:
            await waiting.wait()
        go.set()
        for waiter in waiters:
            await waiter.wait()
        await expect(runtime.event())

    run(body)


def test_a_failure_nobody_waits_for_is_reported_and_harms_no_other_task(run: Driver) -> None:
    async def body(runtime: Runtime) -> int:
        failed = runtime.event()

        async def fail() -> None:
            failed.set()
            raise LookupError("lost")

        async def go_on() -> int:
            await failed.wait()
            while not run.unheard:
                await runtime.sleep(0)
            return 1

        other = runtime.start(go_on, name="other")
        runtime.start(fail, name="careless")
        return await other.wait()

    assert run(body) == 1
    [(name, error)] = run.unheard
    run.unheard.clear()
    assert name == "careless"
    assert isinstance(error, LookupError)


def test_a_failure_is_reported_when_its_last_waiter_was_cancelled_before(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        go = runtime.event()

        async def fail() -> None:
            await go.wait()
            raise LookupError("lost")

        task = runtime.start(fail, name="fail")
        with pytest.raises(DeadlineExceeded):
            async with runtime.deadline(SOON_S):
                await task.wait()
        go.set()
        while not run.unheard:
            await runtime.sleep(0)

    run(body)
    assert [name for name, _ in run.unheard] == ["fail"]
    run.unheard.clear()


def test_a_failure_is_reported_when_its_waiter_is_cancelled_on_the_way_to_it() -> None:
    async def main() -> list[str]:
        unheard: list[str] = []
        runtime = AsyncioRuntime(report=lambda name, _error: unheard.append(name))
        ended = False

        async def fail() -> None:
            nonlocal ended
            await runtime.sleep(0)
            ended = True
            raise LookupError("lost")

        async with runtime.running():
            task = runtime.start(fail, name="fail")
            waiter = asyncio.create_task(task.wait())
            while not ended:
                await runtime.sleep(0)
            # The task's end is under way to the waiter; one turn later it would be delivered.
            await asyncio.sleep(0)
            waiter.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiter
        return unheard

    assert asyncio.run(asyncio.wait_for(main(), 30)) == ["fail"]


def test_a_cancelled_waiter_leaves_the_task_running(run: Driver) -> None:
    async def body(runtime: Runtime) -> int:
        go, waiting = runtime.event(), runtime.event()

        async def work() -> int:
            await go.wait()
            return 7

        task = runtime.start(work, name="work")

        async def wait() -> int:
            waiting.set()
            return await task.wait()

        waiter = runtime.start(wait, name="waiter")
        await waiting.wait()
        waiter.cancel()
        with pytest.raises(TaskCancelled):
            await waiter.wait()
        go.set()
        return await task.wait()

    assert run(body) == 7


def test_waiting_for_a_cancelled_task_says_so(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        began = runtime.event()
        cleaned = False

        async def work() -> None:
            nonlocal cleaned
            try:
                began.set()
                await runtime.sleep(NEVER_S)
            finally:
                cleaned = True

        task = runtime.start(work, name="work")
        await began.wait()
        task.cancel()
        with pytest.raises(TaskCancelled, match="work"):
            await task.wait()
        assert cleaned
        task.cancel()

    run(body)


def test_a_task_cancelled_before_its_first_step_runs_up_to_its_first_await(run: Driver) -> None:
    async def body(runtime: Runtime) -> list[str]:
        steps: list[str] = []

        async def work() -> None:
            steps.append("began")
            await runtime.sleep(NEVER_S)
            steps.append("went on")

        task = runtime.start(work, name="work")
        task.cancel()
        with pytest.raises(TaskCancelled):
            await task.wait()
        return steps

    assert run(body) == ["began"]


def test_a_task_that_ended_ignores_cancellation(run: Driver) -> None:
    async def body(runtime: Runtime) -> int:
        async def answer() -> int:
            return 1

        task = runtime.start(answer, name="answer")
        await task.wait()
        task.cancel()
        return await task.wait()

    assert run(body) == 1


def test_a_task_sees_the_context_it_was_started_in(run: Driver) -> None:
    async def body(runtime: Runtime) -> str:
        async def read() -> str:
            await runtime.sleep(0)
            return request_id.get()

        request_id.set("r-1")
        task = runtime.start(read, name="read")
        request_id.set("r-2")
        return await task.wait()

    assert run(body) == "r-1"
