"""Counts failed requests by address, after their answers, so that no answer waits for the count."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ports.runtime import Runtime, Task

ADDRESSES_WAITING_MAX = 1_024
"""Addresses whose errors wait to be counted. Errors of further ones are dropped."""


class ErrorFrequency:
    """Counts the errors of one address together that arrive while it waits for its turn."""

    def __init__(self, *, runtime: Runtime, charge: Callable[[str, int], Awaitable[None]]) -> None:
        """`charge` counts a number of errors against an address."""
        self._runtime = runtime
        self._charge = charge
        self._waiting: dict[str, int] = {}
        self._charging: Task[None] | None = None

    def count(self, address: str) -> None:
        """Has one error of an address counted. Returns at once and never raises."""
        if address not in self._waiting and len(self._waiting) >= ADDRESSES_WAITING_MAX:
            return
        self._waiting[address] = self._waiting.get(address, 0) + 1
        if self._charging is None:
            self._charging = self._runtime.start(self._charge_all, name="error-frequency")

    async def _charge_all(self) -> None:
        try:
            while self._waiting:
                address = next(iter(self._waiting))
                await self._charge(address, self._waiting.pop(address))
        finally:
            self._charging = None
