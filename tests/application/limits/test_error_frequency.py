"""Errors wait in a bounded place, and what waits for one address is counted at once."""

from __future__ import annotations

from application.limits.error_frequency import ADDRESSES_WAITING_MAX, ErrorFrequency
from ports.runtime import Runtime
from tests.application.limits.limiter_bench import simulated


def test_errors_that_wait_are_gathered_and_their_addresses_bounded() -> None:
    async def body(runtime: Runtime) -> None:
        charged: list[tuple[str, int]] = []
        gate = runtime.event()

        async def charge(address: str, count: int) -> None:
            await gate.wait()
            charged.append((address, count))

        errors = ErrorFrequency(runtime=runtime, charge=charge)
        errors.count("first")
        await runtime.sleep(0.001)
        for number in range(2 * ADDRESSES_WAITING_MAX):
            errors.count(str(number))
        for _ in range(4):
            errors.count("7")
        errors.count("never")
        assert charged == []
        gate.set()
        await runtime.sleep(1)
        assert len(charged) == 1 + ADDRESSES_WAITING_MAX
        assert charged[0] == ("first", 1)
        assert dict(charged)["7"] == 5
        errors.count("later")
        await runtime.sleep(1)
        assert charged[-1] == ("later", 1)

    simulated(body)
