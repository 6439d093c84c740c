"""When a sweep looks at what, and what it tells."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import pytest

from adapters.memory.metrics import MemoryMetrics
from application.encryption.field_sweep import (
    BATCH_DOCUMENTS,
    LOOK_S,
    PASS_AFTER_FAILURE_S,
    PASS_S,
    TRIES_MAX,
    FieldSweep,
)
from ports.encryption.encrypted_collection import SweptBatch
from ports.errors import DependencyUnavailable
from tests.simulation.runtime.simulated_runtime import SimulatedRuntime

DOCUMENTS = 2 * BATCH_DOCUMENTS + 1


class Values:
    """A collection, each document of which has one value under some key."""

    name = "users"

    def __init__(self, writing: Callable[[], bytes]) -> None:
        self._writing = writing
        self.keys = [b""] * DOCUMENTS
        self.damaged: set[int] = set()
        self.is_away = False
        self.calls: list[str] = []

    async def count(self) -> int:
        return len(self.keys)

    async def sweep(self, after_id: str, *, limit: int) -> SweptBatch:
        self.calls.append(after_id)
        if self.is_away:
            raise DependencyUnavailable("mongo", "away")
        first = int(after_id or "0")
        places = range(first, min(first + limit, len(self.keys)))
        stale = [place for place in places if self.keys[place] != self._writing()]
        rewritten = [place for place in stale if place not in self.damaged]
        for place in rewritten:
            self.keys[place] = self._writing()
        last = str(places.stop) if len(places) == limit else None
        return SweptBatch(len(places), {"email": len(rewritten)}, len(stale) - len(rewritten), last)


class House:
    def __init__(self, runtime: SimulatedRuntime) -> None:
        self.runtime = runtime
        self.key = b"1"
        self.values = Values(lambda: self.key)
        self.metrics = MemoryMetrics()
        self.sweep = self.another()

    def another(self, delay_s: float = 0.0) -> FieldSweep:
        return FieldSweep(
            collections=lambda: [self.values],
            writing_id=lambda: self.key,
            runtime=self.runtime,
            metrics=self.metrics,
            delay_s=delay_s,
        )

    def reencrypted(self) -> float:
        return self.metrics.value("credit_field_reencrypted_total", "users", "email")

    def remaining(self) -> float:
        return self.metrics.value("credit_field_sweep_remaining", "users")


def in_house(body: Callable[[House], Awaitable[None]]) -> None:
    runtime = SimulatedRuntime(seed=1)

    async def main() -> None:
        async with runtime.running():
            house = House(runtime)
            await house.sweep.start()
            await body(house)
            await house.sweep.stop()

    runtime.run(main)


def test_a_pass_looks_at_all_once_and_says_that_it_is_done(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "application.encryption.field_sweep")

    async def body(house: House) -> None:
        await house.runtime.sleep(LOOK_S)
        assert house.values.calls == ["", str(BATCH_DOCUMENTS), str(2 * BATCH_DOCUMENTS)]
        assert (house.reencrypted(), house.remaining()) == (DOCUMENTS, 0)
        await house.runtime.sleep(PASS_S - 2 * LOOK_S)
        assert len(house.values.calls) == 3
        await house.runtime.sleep(3 * LOOK_S)
        assert len(house.values.calls) == 6
        assert house.reencrypted() == DOCUMENTS

    in_house(body)
    assert f"{DOCUMENTS} stored values were encrypted anew: the writing key wrote all" in caplog.text


def test_the_first_pass_waits_for_workers_to_be_replaced() -> None:
    async def body(house: House) -> None:
        await house.sweep.stop()
        house.values.calls.clear()
        house.sweep = house.another(delay_s=600.0)
        await house.sweep.start()
        await house.runtime.sleep(599.0)
        assert not house.values.calls
        await house.runtime.sleep(2.0)
        assert house.values.calls

    in_house(body)


def test_a_new_key_begins_a_pass() -> None:
    async def body(house: House) -> None:
        await house.runtime.sleep(LOOK_S)
        house.key = b"2"
        await house.runtime.sleep(2 * LOOK_S)
        assert set(house.values.keys) == {b"2"}

    in_house(body)


def test_what_is_not_rewritten_remains_and_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def body(house: House) -> None:
        house.values.damaged = {1, BATCH_DOCUMENTS + 1}
        await house.runtime.sleep(LOOK_S)
        assert (house.reencrypted(), house.remaining()) == (DOCUMENTS - 2, 2)

    in_house(body)
    assert "others could not be" in caplog.text


def test_a_sweep_that_was_killed_begins_anew_and_does_the_rest() -> None:
    async def body(house: House) -> None:
        while len(house.values.calls) < 2:
            await house.runtime.sleep(0.001)
        await house.sweep.stop()
        done = house.reencrypted()
        assert 0 < done < DOCUMENTS
        house.sweep = house.another()
        await house.sweep.start()
        await house.runtime.sleep(LOOK_S)
        assert (house.reencrypted(), house.remaining()) == (DOCUMENTS, 0)

    in_house(body)


def test_an_outage_is_waited_for_and_a_long_one_ends_the_pass() -> None:
    async def body(house: House) -> None:
        house.values.is_away = True
        await house.runtime.sleep(LOOK_S * 1.5)
        house.values.is_away = False
        await house.runtime.sleep(LOOK_S)
        assert house.remaining() == 0
        house.key, house.values.is_away = b"2", True
        tried = len(house.values.calls)
        await house.runtime.sleep(LOOK_S * (TRIES_MAX + 3))
        assert len(house.values.calls) == tried + TRIES_MAX
        house.values.is_away = False
        await house.runtime.sleep(PASS_AFTER_FAILURE_S)
        assert set(house.values.keys) == {b"2"}

    in_house(body)
