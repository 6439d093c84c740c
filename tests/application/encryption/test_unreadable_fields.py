"""What becomes known of a stored value that does not open."""

from __future__ import annotations

import logging

import pytest

from adapters.memory.audit import MemoryAuditLog
from adapters.memory.metrics import MemoryMetrics
from adapters.runtime.system import SystemEntropy
from application.audit.trail import AuditTrail
from application.encryption.unreadable_fields import PLACES_MAX, QUIET_MS, ReportedCipher, UnreadableFields
from domain.audit import SYSTEM, AuditAction, AuditEvent, AuditFilter
from domain.encryption.policies import USER_EMAIL
from ports.encryption.field_cipher import UnreadableField
from ports.runtime import Runtime
from tests.conformance.encryption import cipher
from tests.simulation.runtime.simulated_runtime import SimulatedRuntime

NOW_MS = 1_800_000_000_000


class Clock:
    def __init__(self) -> None:
        self.now = NOW_MS

    def now_ms(self) -> int:
        return self.now


class House:
    def __init__(self, runtime: Runtime) -> None:
        self.clock = Clock()
        self.metrics = MemoryMetrics()
        self.log = MemoryAuditLog()
        self.trail = AuditTrail(log=self.log, runtime=runtime)
        self.unreadable = UnreadableFields(clock=self.clock, entropy=SystemEntropy(), metrics=self.metrics)
        self.unreadable.report_to(self.trail)
        self.cipher = ReportedCipher(cipher(USER_EMAIL), self.unreadable)

    def read_damaged(self, document_id: str) -> None:
        stored = self.cipher.encrypt(document_id, "ada@example.com")
        with pytest.raises(UnreadableField):
            self.cipher.decrypt(document_id, stored[:-1] + bytes([stored[-1] ^ 1]))

    async def events(self) -> list[AuditEvent]:
        await self.trail.flush()
        wanted = AuditFilter(action=AuditAction.FIELD_UNREADABLE)
        return list((await self.log.find(wanted, limit=200, cursor=None)).items)

    def counted(self) -> float:
        return self.metrics.value("credit_field_unreadable_total", "users", "email", "not_authentic")


def test_a_place_is_told_of_once_a_minute_and_counted_each_time(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    runtime = SimulatedRuntime(seed=1)

    async def body() -> None:
        async with runtime.running():
            house = House(runtime)
            for _ in range(3):
                house.read_damaged("usr_1")
            (event,) = await house.events()
            assert (event.actor, event.resource) == (SYSTEM, "field:users/usr_1")
            assert event.detail == {"field": "email", "fault": "not_authentic"}
            assert house.counted() == 3
            house.clock.now += QUIET_MS
            house.read_damaged("usr_1")
            assert len(await house.events()) == 2
            assert "usr_1, `email`" in caplog.text
            assert "example" not in caplog.text

    runtime.run(body)


def test_a_collection_that_does_not_open_does_not_flood_the_log() -> None:
    runtime = SimulatedRuntime(seed=1)

    async def body() -> None:
        async with runtime.running():
            house = House(runtime)
            for number in range(PLACES_MAX + 20):
                house.read_damaged(f"usr_{number}")
            assert len(await house.events()) == PLACES_MAX
            assert house.counted() == PLACES_MAX + 20
            house.clock.now += QUIET_MS
            house.read_damaged("usr_0")
            assert len(await house.events()) == PLACES_MAX + 1

    runtime.run(body)


def test_a_value_that_opens_is_not_told_of() -> None:
    runtime = SimulatedRuntime(seed=1)

    async def body() -> None:
        async with runtime.running():
            house = House(runtime)
            stored = house.cipher.encrypt("usr_1", "ada@example.com")
            assert house.cipher.decrypt("usr_1", stored) == "ada@example.com"
            assert house.cipher.is_current(stored)
            assert not await house.events()

    runtime.run(body)
