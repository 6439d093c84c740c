"""What every runtime promises of tasks, time, events, locks and threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from functools import partial

import pytest
import trio

from adapters.runtime.asyncio_runtime import AsyncioRuntime
from adapters.runtime.trio_runtime import TrioRuntime
from ports.runtime import Batcher, DeadlineExceeded, Event, Runtime, TaskCancelled
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


# --- shielded work


def test_shielded_work_ends_although_its_caller_was_cancelled(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        began, go, committed = runtime.event(), runtime.event(), runtime.event()

        async def commit() -> None:
            began.set()
            await go.wait()
            committed.set()

        caller = runtime.start(lambda: runtime.shielded(commit, name="commit"), name="caller")
        await began.wait()
        caller.cancel()
        with pytest.raises(TaskCancelled):
            await caller.wait()
        assert not committed.is_set()
        go.set()
        await committed.wait()

    run(body)


def test_a_deadline_ends_the_wait_for_shielded_work_not_the_work(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        go, committed = runtime.event(), runtime.event()

        async def commit() -> None:
            await go.wait()
            committed.set()

        with pytest.raises(DeadlineExceeded):
            async with runtime.deadline(SOON_S):
                await runtime.shielded(commit, name="commit")
        go.set()
        await committed.wait()

    run(body)


def test_shielded_work_gives_its_result_or_its_exception(run: Driver) -> None:
    async def body(runtime: Runtime) -> int:
        async def fail() -> int:
            raise LookupError("lost")

        async def succeed() -> int:
            return 5

        with pytest.raises(LookupError):
            await runtime.shielded(fail, name="fail")
        return await runtime.shielded(succeed, name="succeed")

    assert run(body) == 5


def test_shielded_work_survives_the_native_cancellation_of_a_foreign_task() -> None:
    async def main() -> None:
        runtime = AsyncioRuntime()
        async with runtime.running():
            began, go, committed = runtime.event(), runtime.event(), runtime.event()

            async def commit() -> None:
                began.set()
                await go.wait()
                committed.set()

            handler = asyncio.create_task(runtime.shielded(commit, name="commit"))
            await began.wait()
            handler.cancel()
            with pytest.raises(asyncio.CancelledError):
                await handler
            go.set()
            await committed.wait()

    asyncio.run(asyncio.wait_for(main(), 30))


def test_tasks_of_another_nursery_start_and_shield_work() -> None:
    async def main() -> None:
        runtime = TrioRuntime()
        committed = runtime.event()
        with trio.fail_after(30):
            async with trio.open_nursery() as servers, runtime.running():
                began, go = runtime.event(), runtime.event()

                async def commit() -> None:
                    began.set()
                    await go.wait()
                    committed.set()

                async def handler() -> None:
                    await runtime.shielded(commit, name="commit")

                servers.start_soon(handler)
                await began.wait()
                servers.cancel_scope.cancel()
                go.set()
        assert committed.is_set()

    trio.run(main)


# --- leaving running()


def test_leaving_cancels_ordinary_tasks_and_waits_for_them(run: Driver) -> None:
    async def body(runtime: Runtime) -> list[str]:
        ended: list[str] = []
        began = runtime.event()

        async def tick() -> None:
            try:
                began.set()
                await runtime.sleep(NEVER_S)
            finally:
                ended.append("tick")

        async with runtime.running():
            runtime.start(tick, name="tick")
            await began.wait()
        return ended

    assert run(body, opened=False) == ["tick"]


def test_leaving_gives_shielded_work_time_to_end_and_to_start_more(run: Driver) -> None:
    async def body(runtime: Runtime) -> list[str]:
        committed: list[str] = []
        began, leaving = runtime.event(), runtime.event()

        async def flush(items: Sequence[str]) -> list[str]:
            await runtime.sleep(0)
            committed.append(f"flushed {items}")
            return ["acknowledged"]

        batcher: Batcher[str, str] = runtime.batcher(flush, items_max=10, waiting_max=10)

        async def commit() -> None:
            began.set()
            await leaving.wait()
            committed.append(await batcher.submit("void"))

        async def call() -> None:
            try:
                await runtime.shielded(commit, name="commit")
            finally:
                leaving.set()

        async with runtime.running():
            runtime.start(call, name="caller")
            await began.wait()
        return committed

    assert run(body, opened=False) == ["flushed ['void']", "acknowledged"]


def test_shielded_work_that_outlasts_its_grace_is_cancelled(run: Driver) -> None:
    async def body(runtime: Runtime) -> list[str]:
        ended: list[str] = []
        began = runtime.event()

        async def hang() -> None:
            try:
                began.set()
                await runtime.sleep(NEVER_S)
            finally:
                ended.append("hang")

        async with runtime.running():
            runtime.start(lambda: runtime.shielded(hang, name="hang"), name="caller")
            await began.wait()
        return ended

    assert run(body, opened=False, shutdown_grace_s_max=SOON_S) == ["hang"]


def test_nothing_starts_before_running_or_after_it(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        async def nothing() -> None:
            return None

        with pytest.raises(RuntimeError):
            runtime.start(nothing, name="early")
        with pytest.raises(RuntimeError):
            await runtime.run_in_thread(lambda: None)
        async with runtime.running():
            await runtime.start(nothing, name="in time").wait()
            with pytest.raises(RuntimeError):
                async with runtime.running():
                    pass
        with pytest.raises(RuntimeError):
            runtime.start(nothing, name="late")

    run(body, opened=False)


def test_an_exception_leaves_running_as_it_is(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        async with runtime.running():
            runtime.start(lambda: runtime.sleep(NEVER_S), name="tick")
            raise LookupError("lost")

    with pytest.raises(LookupError, match="lost"):
        run(body, opened=False)


def test_the_grace_holds_when_the_one_who_leaves_is_cancelled(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        leaving, committed = runtime.event(), runtime.event()

        async def commit() -> None:
            await leaving.wait()
            await runtime.sleep(0)
            committed.set()

        async def serve() -> None:
            async with runtime.running():
                try:
                    await runtime.shielded(commit, name="commit")
                finally:
                    leaving.set()

        with pytest.raises(DeadlineExceeded):
            async with runtime.deadline(SOON_S):
                await serve()
        assert committed.is_set()

    run(body, opened=False)


def test_the_grace_holds_when_a_server_cancels_the_one_who_is_leaving() -> None:
    async def main() -> None:
        runtime = AsyncioRuntime()
        leaving, go, committed = runtime.event(), runtime.event(), runtime.event()

        async def commit() -> None:
            await go.wait()
            committed.set()

        async def tick() -> None:
            try:
                await runtime.sleep(NEVER_S)
            finally:
                leaving.set()

        async def serve() -> None:
            async with runtime.running():
                runtime.start(tick, name="tick")
                runtime.start(partial(runtime.shielded, commit, name="commit"), name="caller")
                await runtime.sleep(0)

        server = asyncio.create_task(serve())
        await leaving.wait()
        server.cancel()
        await asyncio.wait((server,), timeout=SOON_S)
        assert not server.done()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await server
        assert committed.is_set()

    asyncio.run(asyncio.wait_for(main(), 30))


# --- time


def test_a_deadline_cancels_its_block_and_says_so(run: Driver) -> None:
    async def body(runtime: Runtime) -> float:
        began = runtime.monotonic()
        with pytest.raises(DeadlineExceeded):
            async with runtime.deadline(SOON_S):
                await runtime.sleep(NEVER_S)
        return runtime.monotonic() - began

    took_s = run(body)
    if run.runtime == "simulated":
        assert took_s == SOON_S
    else:
        # Event loops may wake a timer up to their clock's resolution early.
        assert took_s >= SOON_S * 0.9


def test_an_inner_deadline_ends_the_inner_block_only(run: Driver) -> None:
    async def body(runtime: Runtime) -> str:
        async with runtime.deadline(NEVER_S):
            with pytest.raises(DeadlineExceeded):
                async with runtime.deadline(SOON_S):
                    await runtime.sleep(NEVER_S)
            await runtime.sleep(0)
            return "outer goes on"

    assert run(body) == "outer goes on"


def test_an_outer_deadline_ends_the_inner_blocks_too(run: Driver) -> None:
    async def body(runtime: Runtime) -> list[str]:
        seen: list[str] = []

        async def inner() -> None:
            try:
                async with runtime.deadline(NEVER_S):
                    await runtime.sleep(NEVER_S)
            except DeadlineExceeded:
                seen.append("inner")

        with pytest.raises(DeadlineExceeded):
            async with runtime.deadline(SOON_S):
                await inner()
        await runtime.sleep(0)
        return seen

    assert run(body) == []


def test_a_deadline_of_nothing_ends_the_block_at_its_first_wait(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        for seconds in (0.0, -1.0):
            with pytest.raises(DeadlineExceeded):
                async with runtime.deadline(seconds):
                    await runtime.event().wait()

    run(body)


def test_a_block_in_time_keeps_its_own_exceptions(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        async with runtime.deadline(NEVER_S):
            await runtime.sleep(0)
        for own in (TimeoutError("own"), LookupError("own")):
            with pytest.raises(type(own), match="own"):
                async with runtime.deadline(NEVER_S):
                    raise own

    run(body)


def test_cancelling_a_task_is_not_taken_for_its_deadline(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        began = runtime.event()

        async def work() -> None:
            async with runtime.deadline(NEVER_S):
                began.set()
                await runtime.sleep(NEVER_S)

        task = runtime.start(work, name="work")
        await began.wait()
        task.cancel()
        with pytest.raises(TaskCancelled):
            await task.wait()

    run(body)


def test_time_never_runs_back_and_a_negative_sleep_is_none(run: Driver) -> None:
    async def body(runtime: Runtime) -> list[float]:
        moments = [runtime.monotonic()]
        for seconds in (0.0, -1.0, SOON_S):
            await runtime.sleep(seconds)
            moments.append(runtime.monotonic())
        return moments

    moments = run(body)
    assert moments == sorted(moments)


# --- threads


def test_blocking_work_gives_its_result_or_its_exception(run: Driver) -> None:
    def divide(one: int, other: int) -> float:
        return one / other

    async def body(runtime: Runtime) -> float:
        with pytest.raises(ZeroDivisionError):
            await runtime.run_in_thread(divide, 1, 0)
        return await runtime.run_in_thread(divide, 6, 3)

    assert run(body) == 2.0


def test_blocking_work_sees_the_callers_context(run: Driver) -> None:
    async def body(runtime: Runtime) -> str:
        request_id.set("r-3")
        return await runtime.run_in_thread(request_id.get)

    assert run(body) == "r-3"


def test_blocking_work_is_off_the_event_loop(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> int:
        return await runtime.run_in_thread(threading.get_ident)

    assert run_real(body) != threading.get_ident()


def test_no_more_threads_work_than_allowed(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> int:
        gate = threading.Barrier(2)
        inside = most = 0
        count = threading.Lock()

        def work() -> None:
            nonlocal inside, most
            with count:
                inside += 1
                most = max(most, inside)
            # Both of the two threads are in here before either leaves: the bound is reached.
            gate.wait(20)
            with count:
                inside -= 1

        tasks = [runtime.start(lambda: runtime.run_in_thread(work), name="work") for _ in range(6)]
        for task in tasks:
            await task.wait()
        return most

    assert run_real(body, threads_max=2) == 2


def test_a_cancelled_caller_waits_for_its_thread(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        entered, leave = threading.Event(), threading.Event()
        returned = False

        def work() -> None:
            nonlocal returned
            entered.set()
            leave.wait(20)
            returned = True

        async def call() -> None:
            try:
                await runtime.run_in_thread(work)
                await runtime.sleep(0)
            finally:
                assert returned

        task = runtime.start(call, name="call")
        await runtime.run_in_thread(entered.wait, 20.0)
        task.cancel()
        task.cancel()
        with pytest.raises(DeadlineExceeded):
            async with runtime.deadline(SOON_S):
                await task.wait()
        leave.set()
        with pytest.raises(TaskCancelled):
            await task.wait()

    run_real(body)


def test_a_caller_still_in_line_for_a_thread_can_be_cancelled(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        entered, leave = threading.Event(), threading.Event()
        ran = runtime.event()

        def occupy() -> None:
            entered.set()
            leave.wait(20)

        occupier = runtime.start(lambda: runtime.run_in_thread(occupy), name="occupier")
        while not entered.is_set():
            await runtime.sleep(0)
        with pytest.raises(DeadlineExceeded):
            async with runtime.deadline(SOON_S):
                await runtime.run_in_thread(ran.set)
        leave.set()
        await occupier.wait()
        assert not ran.is_set()

    run_real(body, threads_max=1)
