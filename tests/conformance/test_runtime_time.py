"""What every runtime promises of time, deadlines and threads."""

from __future__ import annotations

import threading
from contextlib import suppress
from contextvars import ContextVar

import pytest

from ports.runtime import DeadlineExceeded, Runtime, TaskCancelled
from tests.conformance.runtimes import Driver

SOON_S = 0.01
BRIEF_S = 0.1
NEVER_S = 3600.0
ROUNDS_MAX = 2

request_id: ContextVar[str] = ContextVar("request_id", default="none")


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


def test_an_answer_that_came_while_the_loop_was_busy_came_in_time(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> str:
        asked, busy = threading.Event(), threading.Event()

        def answer() -> str:
            asked.set()
            assert busy.wait(20)
            return "answer"

        async def keep_busy() -> None:
            while not asked.is_set():
                await runtime.sleep(0)
            busy.set()
            threading.Event().wait(2 * BRIEF_S)

        async with runtime.deadline(BRIEF_S):
            runtime.start(keep_busy, name="busy")
            return await runtime.run_in_thread(answer)

    assert run_real(body) == "answer"


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


@pytest.mark.parametrize("answer", ["value", "error"])
def test_a_cancellation_lost_inside_a_deadline_ends_the_task_all_the_same(run: Driver, answer: str) -> None:
    # As PyMongo's waiting for a write loses one on Python 3.11: findings/pymongo-loses-a-cancellation.sh
    async def body(runtime: Runtime) -> int:
        rounds = 0

        async def driver_call() -> None:
            with suppress(BaseException):
                await runtime.sleep(NEVER_S)
            if answer == "error":
                raise ConnectionError("cut")

        async def go_round() -> None:
            nonlocal rounds
            while rounds < ROUNDS_MAX:
                with suppress(ConnectionError):
                    async with runtime.deadline(2 * NEVER_S):
                        await driver_call()
                rounds += 1
                await runtime.sleep(0)

        task = runtime.start(go_round, name="rounds")
        await runtime.sleep(SOON_S)
        task.cancel()
        with pytest.raises(TaskCancelled):
            await task.wait()
        return rounds

    assert run(body) < ROUNDS_MAX


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
