from __future__ import annotations

import asyncio

import pytest

from application.outage_log import OUTAGE_INTERVAL_S
from composition.managers.hooks_manager import CALLBACKS_MAX, HooksManager
from plugins.plugin import HookCallback
from ports.errors import DependencyUnavailable, OutcomeUnknown


def test_callbacks_run_in_order_of_priority_then_of_registration() -> None:
    hooks, seen = HooksManager(), list[str]()

    def named(name: str) -> HookCallback:
        return lambda _: seen.append(name)

    for priority, name in ((100, "late"), (10, "early"), (100, "latest"), (50, "middle")):
        hooks.register("credited", named(name), priority)
    assert asyncio.run(hooks.trigger("credited", None)) == 0
    assert seen == ["early", "middle", "late", "latest"]


def test_synchronous_and_awaited_callbacks_get_the_payload() -> None:
    hooks, seen = HooksManager(), list[object]()

    async def awaited(payload: object) -> None:
        await asyncio.sleep(0)
        seen.append(payload)

    hooks.register("credited", awaited)
    hooks.register("credited", seen.append)
    asyncio.run(hooks.trigger("credited", 7))
    assert seen == [7, 7]


def test_a_failing_callback_is_reported_and_harms_no_other(caplog: pytest.LogCaptureFixture) -> None:
    hooks, seen = HooksManager(), list[object]()

    def fails(_: object) -> None:
        raise RuntimeError("out of order")

    hooks.register("credited", fails, 1)
    hooks.register("credited", seen.append, 2)
    assert asyncio.run(hooks.trigger("credited", "x")) == 1
    assert seen == ["x"]
    assert "out of order" in caplog.text


def test_a_callback_whose_dependency_is_away_is_told_of_in_one_line_a_minute(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now_s = 100.0
    hooks = HooksManager(monotonic=lambda: now_s)

    async def publish(_: object) -> None:
        raise DependencyUnavailable("redis", "connection refused")

    def count(_: object) -> None:
        raise OutcomeUnknown("mongo")

    hooks.register("credited", publish)
    hooks.register("credited", count)
    for _ in range(61):
        assert asyncio.run(hooks.trigger("credited", None)) == 2
        now_s += OUTAGE_INTERVAL_S / 60
    said = [(record.getMessage(), record.__dict__["failed_unsaid"]) for record in caplog.records]
    first = [("a hook failed: redis: connection refused", 0), ("a hook failed: mongo", 0)]
    assert said == [*first, *((text, 59) for text, _ in first)]
    assert "publish" in caplog.records[0].__dict__["callback"]
    assert "Traceback" not in caplog.text


def test_a_callback_with_a_context_runs_in_that_one_only() -> None:
    hooks, seen = HooksManager(), list[str]()
    hooks.register("credited", lambda _: seen.append("game"), context="game")
    hooks.register("credited", lambda _: seen.append("any"))
    asyncio.run(hooks.trigger("credited", None, context="shop"))
    assert seen == ["any"]
    asyncio.run(hooks.trigger("credited", None, context="game"))
    assert seen == ["any", "game", "any"]


def test_an_event_that_nobody_waits_for_is_no_error() -> None:
    assert asyncio.run(HooksManager().trigger("unheard", None)) == 0


def test_the_number_of_callbacks_is_bounded() -> None:
    hooks = HooksManager()
    for _ in range(CALLBACKS_MAX):
        hooks.register("credited", print)
    with pytest.raises(ValueError):
        hooks.register("credited", print)
