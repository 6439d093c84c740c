"""What every runtime promises of work that must go out, and of leaving."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest
import trio

from adapters.runtime.asyncio_runtime import AsyncioRuntime
from adapters.runtime.trio_runtime import TrioRuntime
from ports.runtime import Batcher, DeadlineExceeded, Runtime, TaskCancelled
from tests.conformance.runtimes import Driver

SOON_S = 0.01
NEVER_S = 3600.0


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
