"""Whose turn it is to append, where writers on several hosts share a book.

The fence lets the faster one win, and a slow one may lose for ever. A writer that loses often claims the next
document, and the others give way for a moment. A writer that meets no other one does not look at claims.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Final

from ports.errors import DependencyUnavailable
from ports.ledger.claims import Claims
from ports.runtime import Runtime

LOSSES_MAX: Final = 3
"""Lost appends of one batch in a row; then the writer claims."""
GIVE_WAY_MS_MAX: Final = 100
"""How long a claim stands, and how long others give way to it."""
GIVE_WAY_LOOK_S: Final = 0.005
"""How often a writer that gives way looks whether the claim stands yet."""
CONTENDED_S: Final = 2.0
"""For so long after another writer's document, or claim, was met there may be others."""
LOOK_INTERVAL_S: Final = 0.1
"""How often a writer that meets no other one looks, beside its appends, for claims made in vain. A rival
that is only a little slower loses every few milliseconds until then."""


class Turns:
    """One writer's part in it. A store of claims that fails is passed over: the fence needs none."""

    def __init__(self, book: str, who: str, runtime: Runtime, claims: Claims | None) -> None:
        self._book = book
        self._who = who
        self._runtime = runtime
        self._claims = claims
        self._losses = 0
        self._claimed = False
        self._contended_until_s = 0.0
        self._look_at_s = 0.0

    def lost(self) -> None:
        """Another writer's document stands where this one's should."""
        self._losses += 1
        self._contended_until_s = self._runtime.monotonic() + CONTENDED_S

    def won(self) -> None:
        self._losses = 0
        if self._claimed and self._claims is not None:
            self._claimed = False
            self._runtime.start(partial(self._withdraw, self._claims), name="withdraw a claim")

    async def wait_for_turn(self) -> bool:
        """Returns when this writer may append. True when it gave way: others have appended."""
        now_s = self._runtime.monotonic()
        if now_s >= self._contended_until_s:
            if self._claims is not None and now_s >= self._look_at_s:
                self._look_at_s = now_s + LOOK_INTERVAL_S
                self._runtime.start(partial(self._look, self._claims), name="look for claims")
            return False
        if self._claims is None:
            return False
        with suppress(DependencyUnavailable):
            if self._losses >= LOSSES_MAX:
                self._claimed = True
                await self._claims.make(self._book, self._who, for_ms=GIVE_WAY_MS_MAX)
            return await self._gave_way(self._claims, now_s + GIVE_WAY_MS_MAX / 1000)
        return False

    async def _gave_way(self, claims: Claims, until_s: float) -> bool:
        gave_way = False
        while await self._is_claimed_by_another(claims):
            gave_way = True
            self._contended_until_s = self._runtime.monotonic() + CONTENDED_S
            if self._runtime.monotonic() >= until_s:
                break
            await self._runtime.sleep(GIVE_WAY_LOOK_S)
        return gave_way

    async def _is_claimed_by_another(self, claims: Claims) -> bool:
        claim = await claims.standing(self._book)
        return claim is not None and claim.who != self._who

    async def _look(self, claims: Claims) -> None:
        with suppress(DependencyUnavailable):
            if await self._is_claimed_by_another(claims):
                self._contended_until_s = self._runtime.monotonic() + CONTENDED_S

    async def _withdraw(self, claims: Claims) -> None:
        with suppress(DependencyUnavailable):
            await claims.withdraw(self._book, self._who)
