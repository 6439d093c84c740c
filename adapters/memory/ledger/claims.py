"""Claims in this process's memory."""

from __future__ import annotations

from ports.clock import Clock
from ports.ledger.claims import Claim, Claims


class MemoryClaims:
    """Keeps one claim a book."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._claims: dict[str, tuple[str, int]] = {}

    async def make(self, book: str, who: str, *, for_ms: int) -> None:
        standing = await self.standing(book)
        if standing is None or standing.who == who:
            self._claims[book] = who, self._clock.now_ms() + for_ms

    async def standing(self, book: str) -> Claim | None:
        who, until_ms = self._claims.get(book, ("", 0))
        left_ms = until_ms - self._clock.now_ms()
        return Claim(who, left_ms) if left_ms > 0 else None

    async def withdraw(self, book: str, who: str) -> None:
        if self._claims.get(book, ("", 0))[0] == who:
            del self._claims[book]


def _fits(clock: Clock) -> Claims:
    return MemoryClaims(clock)
