"""Pushes that are queued: in order, together, bounded in number and in time."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial

import pytest

from application.outage_log import OUTAGE_INTERVAL_S
from application.realtime.outgoing import PUBLISH_S_MAX, PUSHES_WAITING_MAX, PushFate
from application.realtime.switchboard import Realtime
from domain.realtime.messages import DirectPush
from ports.runtime import Runtime
from tests.adapters.socket.doubles import Mailbox, NamedTokens, ObservedBus, identity
from tests.application.limits.limiter_bench import simulated


class Bench:
    """One process with a bus that can hang, and one connection of Ada's."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.bus = ObservedBus(runtime)
        self.realtime = Realtime(runtime=runtime, bus=self.bus, tokens=NamedTokens())
        self.mailbox = Mailbox()
        self.fates: list[tuple[str, PushFate]] = []

    def queue(self, name: str, count: int = 1) -> None:
        pushes = [("ada", DirectPush("said", f"{name}{number}")) for number in range(count)]
        self.realtime.queue_to_users(pushes, ended=lambda fate: self.fates.append((name, fate)))

    async def all_ended(self, count: int) -> None:
        async with self.runtime.deadline(60):
            while len(self.fates) < count:
                await self.runtime.sleep(0.1)

    @property
    def heard(self) -> list[str]:
        return [json.loads(text)["data"] for text in self.mailbox.texts]


def on_bench(body: Callable[[Bench], Awaitable[None]]) -> None:
    async def main(runtime: Runtime) -> None:
        bench = Bench(runtime)
        assert await bench.realtime.attach(bench.mailbox, identity("ada", "ses"))
        await body(bench)

    simulated(main)


def test_pushes_go_out_in_the_order_of_their_calls_and_each_calls_together() -> None:
    async def body(bench: Bench) -> None:
        bench.queue("a", 3)
        bench.queue("b", 2)
        assert bench.heard == [], "nobody waited"
        await bench.all_ended(2)
        assert bench.heard == ["a0", "a1", "a2", "b0", "b1"]
        assert bench.fates == [("a", PushFate.PUBLISHED), ("b", PushFate.PUBLISHED)]
        assert bench.bus.calls == [{"user:ada"}] * 2

    on_bench(body)


def test_a_bus_that_hangs_holds_each_call_for_a_bounded_time_and_all_of_them_in_a_bounded_queue() -> None:
    half = PUSHES_WAITING_MAX // 2

    async def body(bench: Bench) -> None:
        bench.bus.hang()
        bench.queue("first")
        await bench.runtime.sleep(PUBLISH_S_MAX / 2)
        for name in ("a", "b", "c"):
            bench.queue(name, half)
        assert bench.fates == [("a", PushFate.DROPPED)]
        await bench.runtime.sleep(PUBLISH_S_MAX)
        assert bench.fates == [("a", PushFate.DROPPED), ("first", PushFate.UNPUBLISHED)]
        bench.bus.resume()
        await bench.all_ended(4)
        assert bench.fates[2:] == [("b", PushFate.PUBLISHED), ("c", PushFate.PUBLISHED)]
        assert len(bench.heard) == 2 * half

    on_bench(body)


def test_a_call_larger_than_the_queue_goes_out_when_it_is_the_newest() -> None:
    async def body(bench: Bench) -> None:
        bench.queue("large", PUSHES_WAITING_MAX + 1)
        await bench.all_ended(1)
        assert bench.fates == [("large", PushFate.PUBLISHED)]

    on_bench(body)


def test_an_outage_is_logged_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    async def body(bench: Bench) -> None:
        bench.bus.is_away = True
        for number in range(62):
            bench.queue(str(number))
            await bench.runtime.sleep(OUTAGE_INTERVAL_S / 60)
        assert {fate for _, fate in bench.fates} == {PushFate.UNPUBLISHED}

    on_bench(body)
    said = [(record.getMessage(), record.__dict__["failed_unsaid"]) for record in caplog.records]
    assert [text for text, _ in said] == ["pushes were not published: bus"] * 2
    assert (said[0][1], said[1][1]) == (0, 59)


def test_a_push_that_cannot_be_encoded_ends_none_that_follow(caplog: pytest.LogCaptureFixture) -> None:
    async def body(bench: Bench) -> None:
        bench.realtime.queue_to_users(
            [("ada", DirectPush("said", float("nan")))],
            ended=lambda fate: bench.fates.append(("bad", fate)),
        )
        bench.queue("good")
        await bench.all_ended(2)
        assert bench.fates == [("bad", PushFate.UNPUBLISHED), ("good", PushFate.PUBLISHED)]
        assert bench.heard == ["good0"]

    on_bench(body)
    assert "pushes were not published" in caplog.text


def test_a_stop_gives_what_waits_a_moment_and_no_more() -> None:
    async def body(bench: Bench) -> None:
        bench.queue("a", 2)
        await bench.realtime.stop()
        assert bench.heard == ["a0", "a1"]
        bench.bus.hang()
        bench.queue("b")
        stopping = bench.runtime.start(partial(bench.realtime.stop), name="stop")
        async with bench.runtime.deadline(PUBLISH_S_MAX):
            await stopping.wait()
        assert len(bench.fates) == 1

    on_bench(body)
