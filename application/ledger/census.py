"""How all accounts stand together, and whether their checkpoints are what the journal says.

Both are read where checkpoints are kept, so they are as old as a checkpoint may be, and know what every
process wrote.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from domain.ledger.account import AccountState
from domain.ledger.entries import AccountOpened, TransferPosted
from ports.ledger.journal import AssetCensus, Checkpoints, Journal, StoredState

SAMPLED_A_ROUND: Final = 4
"""Checkpoints of each book that one round compares with the journal; round after round it goes through
all of them. Few: each is looked up in whole documents, which may hold thousands of entries."""
DOCUMENTS_BACK_MAX: Final = 2
"""How far back the journal is asked for a balance; one older than so many holds is not compared."""
DRIFTING_MAX: Final = 1_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Census:
    """One round. `drift` is by how many minor units checkpoints differed from the journal when they
    were compared last."""

    assets: Sequence[AssetCensus]
    drift: int


class CensusTaker:
    """Remembers between rounds how far it came, and what it found wrong."""

    def __init__(self, journal: Journal, checkpoints: Checkpoints) -> None:
        self._journal = journal
        self._checkpoints = checkpoints
        self._compared_upto: dict[str, str] = {}
        self._drifting: dict[tuple[str, str], int] = {}

    async def take(self, books: Iterable[str], bounds: Sequence[int]) -> Census:
        """`bounds` ascend; an account counts under the first one that its balance does not exceed."""
        assets = await self._checkpoints.census(bounds)
        for book in books:
            await self._compare_some(book)
        return Census(assets, sum(self._drifting.values()))

    async def _compare_some(self, book: str) -> None:
        after = self._compared_upto.get(book, "")
        found = await self._checkpoints.states_after(book, after, limit=SAMPLED_A_ROUND)
        for stored in found:
            await self._compare(book, stored)
        self._compared_upto[book] = found[-1].key if len(found) == SAMPLED_A_ROUND else ""

    async def _compare(self, book: str, stored: StoredState) -> None:
        drift = 1 if stored.state is None else await self._drift_of(book, stored.state)
        if drift is None:
            return
        name = book, stored.key
        known = self._drifting.pop(name, 0)
        if drift and len(self._drifting) < DRIFTING_MAX:
            self._drifting[name] = drift
        if drift and not known:
            # Whose it is stands in the log; a metric's label must not say it.
            _log.error("the checkpoint of account %s in book %s is not what the journal says", *name[::-1])

    async def _drift_of(self, book: str, state: AccountState) -> int | None:
        """None when the journal's last documents about the account moved nothing."""
        account = state.account
        excerpt = await self._journal.of_account(
            book,
            account.id,
            account.asset,
            upto=state.seq,
            newest_first=True,
            documents_max=DOCUMENTS_BACK_MAX,
        )
        for placed in excerpt.entries:
            entry = placed.entry
            if isinstance(entry, TransferPosted):
                is_source = entry.source == account.id
                balance = entry.source_posted if is_source else entry.destination_posted
                return abs(state.posted - balance)
            if isinstance(entry, AccountOpened):
                return abs(state.posted)
        # A checkpoint of what no document names was made up.
        return None if excerpt.entries else abs(state.posted)
