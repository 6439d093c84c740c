"""Writes account states behind the journal, so that loading an account need not fold its whole past."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from domain.ledger.account import AccountState
from ports.errors import DependencyUnavailable
from ports.journal import Checkpoints, Snapshot
from ports.runtime import Runtime, Task

INTERVAL_S: Final = 1.0
STATES_A_SAVE_MAX: Final = 1_000
STATES_WAITING_MAX: Final = 20_000
"""Past this the book's appends wait for the checkpoints."""
SNAPSHOTS_WAITING_MAX: Final = 1_000


class Checkpointer:
    """Collects the newest state of each account that this process changed, and saves them in rounds."""

    def __init__(self, book: str, runtime: Runtime, checkpoints: Checkpoints) -> None:
        self._book = book
        self._runtime = runtime
        self._checkpoints = checkpoints
        self._waiting: dict[str, AccountState] = {}
        self._snapshots: list[Snapshot] = []
        self._saving = runtime.lock()
        self._task: Task[None] | None = None

    async def add(self, states: Mapping[str, AccountState], snapshots: Sequence[Snapshot] = ()) -> None:
        """Takes acknowledged states; waits while too many are unsaved, unless saving fails."""
        self._waiting.update(states)
        self._snapshots += snapshots
        if len(self._waiting) > STATES_WAITING_MAX:
            await self.flush()
        elif self._waiting and self._task is None:
            self._task = self._runtime.start(self._save_rounds, name=f"checkpoints of {self._book}")

    async def _save_rounds(self) -> None:
        """One round an interval, for as long as something waits."""
        try:
            while self._waiting:
                await self._runtime.sleep(INTERVAL_S)
                await self.flush()
        finally:
            self._task = None

    async def flush(self) -> None:
        """Saves what waits now; what comes meanwhile waits for the next round.

        A store that is away loses nothing: the journal has everything.
        """
        async with self._saving:
            try:
                await self._keep_snapshots()
            except DependencyUnavailable:
                self._give_up_some()
                return
            waiting = list(self._waiting)
            for start in range(0, len(waiting), STATES_A_SAVE_MAX):
                keys = waiting[start : start + STATES_A_SAVE_MAX]
                states = [self._waiting[key] for key in keys]
                try:
                    await self._checkpoints.save(self._book, states)
                except DependencyUnavailable:
                    self._give_up_some()
                    return
                for key, state in zip(keys, states, strict=True):
                    if self._waiting.get(key) is state:
                        del self._waiting[key]

    async def _keep_snapshots(self) -> None:
        while self._snapshots:
            some = self._snapshots[:STATES_A_SAVE_MAX]
            await self._checkpoints.keep(self._book, some)
            del self._snapshots[: len(some)]

    def _give_up_some(self) -> None:
        """Memory stays bounded while the store is away: what is dropped is folded anew when asked for."""
        del self._snapshots[:-SNAPSHOTS_WAITING_MAX]
        while len(self._waiting) > STATES_WAITING_MAX:
            self._waiting.pop(next(iter(self._waiting)))
