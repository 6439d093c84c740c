"""Requests that failed, by address: counted behind their answers, so that none waits for it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ports.runtime import Runtime, Task

ADDRESSES_WAITING_MAX = 1_024
"""Whose errors wait to be counted; of others nothing is remembered until there is room."""


class ErrorFrequency:
    """What comes while an address waits for its turn is counted together with it."""

    def __init__(self, *, runtime: Runtime, charge: Callable[[str, int], Awaitable[None]]) -> None:
        """`charge` counts so many errors against an address."""
        self._runtime = runtime
        self._charge = charge
        self._waiting: dict[str, int] = {}
        self._charging: Task[None] | None = None

    def note(self, address: str) -> None:
        """One more; returns at once."""
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
