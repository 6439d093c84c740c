"""Writes account states behind the journal, so that loading an account need not fold its whole past.

A saved state costs the store about as much as the transfer that made it. So it is saved soon only when
something about it matters to others, or much has touched it (see `crossings`). Of all else a small part
goes a round, oldest first: what changes again before its turn is saved once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Final

from domain.ledger.account import AccountState
from domain.ledger.crossings import Snapshot
from ports.errors import DependencyUnavailable
from ports.ledger.journal import Checkpoints
from ports.runtime import Runtime, Task

INTERVAL_S: Final = 0.1
ROUNDS_A_SWEEP: Final = 3_000
"""In so many rounds everything that waits has had its turn: five minutes."""
STATES_A_ROUND_MIN: Final = 10
STATES_A_SAVE_MAX: Final = 250
"""Encoding more at once would hold up the event loop, and with it every caller."""
STATES_WAITING_MAX: Final = 100_000
"""Past this the oldest are forgotten: a load of such an account folds what its checkpoint is behind."""
URGENT_MAX: Final = 20_000
"""Past this the book's appends wait for the checkpoints."""
SNAPSHOTS_WAITING_MAX: Final = 1_000
FLUSH_S_MAX: Final = 5.0


class Checkpointer:
    """Collects the newest state of each account that this process changed, and saves them in rounds."""

    def __init__(self, book: str, runtime: Runtime, checkpoints: Checkpoints) -> None:
        self._book = book
        self._runtime = runtime
        self._checkpoints = checkpoints
        self._waiting: dict[str, AccountState] = {}
        """In the order in which their first unsaved change came."""
        self._urgent: dict[str, None] = {}
        self._snapshots: list[Snapshot] = []
        self._pace = STATES_A_ROUND_MIN
        """States a round. It does not sink while something waits: whoever has so many before it when it
        comes has its turn within a sweep."""
        self._saving = runtime.lock()
        self._task: Task[None] | None = None

    async def add(
        self,
        states: Mapping[str, AccountState],
        *,
        urgent: Iterable[str] = (),
        snapshots: Sequence[Snapshot] = (),
    ) -> None:
        """Takes acknowledged states; waits while too many are urgent, unless saving fails."""
        self._waiting.update(states)
        self._urgent.update(dict.fromkeys(urgent))
        self._snapshots += snapshots
        self._forget_some()
        if len(self._urgent) > URGENT_MAX:
            await self._save_some(0)
        if self._waiting and self._task is None:
            self._task = self._runtime.start(self._save_rounds, name=f"checkpoints of {self._book}")

    async def flush(self, *, give_up_s: float | None = None) -> None:
        """Saves what waits now, for `FLUSH_S_MAX` or until the clock says `give_up_s`; what comes meanwhile
        waits for its turn."""
        if give_up_s is None:
            give_up_s = self._runtime.monotonic() + FLUSH_S_MAX
        await self._save_some(len(self._waiting), give_up_s=give_up_s)

    async def _save_rounds(self) -> None:
        """One round an interval, for as long as something waits."""
        try:
            while self._waiting:
                await self._runtime.sleep(INTERVAL_S)
                self._pace = max(self._pace, -(-len(self._waiting) // ROUNDS_A_SWEEP))
                await self._save_some(self._pace)
        finally:
            self._task = None
            self._pace = STATES_A_ROUND_MIN

    async def _save_some(self, oldest: int, *, give_up_s: float = math.inf) -> None:
        """Saves what is urgent, then so many of those that have waited longest.

        A store that is away loses nothing: the journal has everything.
        """
        async with self._saving:
            keys = list({**self._urgent, **dict.fromkeys(islice(self._waiting, oldest))})
            try:
                await self._keep_snapshots()
                for start in range(0, len(keys), STATES_A_SAVE_MAX):
                    if self._runtime.monotonic() >= give_up_s:
                        return
                    await self._save(keys[start : start + STATES_A_SAVE_MAX])
            except DependencyUnavailable:
                self._give_up_some()

    async def _save(self, keys: Sequence[str]) -> None:
        waiting = self._waiting
        states = {key: state for key in keys if (state := waiting.get(key)) is not None}
        # Only now: what is urgent is never forgotten, and until its turn others may fill up the line.
        urgent = {key: state for key, state in states.items() if key in self._urgent}
        for key in keys:
            self._urgent.pop(key, None)
        try:
            await self._checkpoints.save(self._book, list(states.values()))
        except BaseException:
            for key, state in urgent.items():
                waiting.setdefault(key, state)
            self._urgent = {**dict.fromkeys(urgent), **self._urgent}
            raise
        for key, state in states.items():
            newest = waiting.pop(key, state)
            if newest is not state:
                # It changed meanwhile: its turn is over, and it goes to the end of the line.
                waiting[key] = newest

    async def _keep_snapshots(self) -> None:
        while self._snapshots:
            some = self._snapshots[:STATES_A_SAVE_MAX]
            await self._checkpoints.keep(self._book, some)
            del self._snapshots[: len(some)]

    def _give_up_some(self) -> None:
        """Memory stays bounded, and appends go on, while the store is away: what is dropped is folded anew
        when asked for."""
        del self._snapshots[:-SNAPSHOTS_WAITING_MAX]
        for key in list(islice(self._urgent, max(0, len(self._urgent) - URGENT_MAX))):
            del self._urgent[key]

    def _forget_some(self) -> None:
        for key in list(islice(self._waiting, max(0, len(self._waiting) - STATES_WAITING_MAX))):
            state = self._waiting.pop(key)
            if key in self._urgent:
                self._waiting[key] = state
