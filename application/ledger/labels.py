"""What a grant or a hold was called when it was made: its code and metadata, which never change.

An account's state leaves them out: it is in memory for every account that anybody touches.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from domain.ledger.entries import GrantScheduled, HoldPlaced, TransferPosted
from ports.ledger.journal import Journal

LABELS_MAX: Final = 10_000
"""Kept in memory, each with at most 512 bytes of metadata."""


class Label(NamedTuple):
    """`metadata` is canonical JSON text, empty for none."""

    code: str
    metadata: str


class Labels:
    """Of all books of this process."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._known: OrderedDict[tuple[str, str], Label] = OrderedDict()

    async def of(self, book: str, keys: Iterable[str]) -> Mapping[str, Label]:
        """By the key that each was recorded under: `t:` and a grant's id, `h:` and a hold's.

        One read of the journal for all that is not in memory, none for no keys. Raises
        `DependencyUnavailable`.
        """
        found: dict[str, Label] = {}
        wanted: list[str] = []
        for key in keys:
            label = self._known.get((book, key))
            if label is None:
                wanted.append(key)
            else:
                found[key] = label
                self._known.move_to_end((book, key))
        if wanted:
            for key, recorded in (await self._journal.recorded(book, wanted)).items():
                entry = recorded.entry
                if isinstance(entry, TransferPosted | GrantScheduled | HoldPlaced):
                    found[key] = self._known[book, key] = Label(entry.code, entry.metadata)
        while len(self._known) > LABELS_MAX:
            self._known.popitem(last=False)
        return found
