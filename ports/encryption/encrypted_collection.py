"""Collections whose documents hold encrypted fields, as they are gone through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class SweptBatch:
    """What became of some documents."""

    seen: int
    rewritten: Mapping[str, int]
    """Values by field, that stand under the writing key since."""
    left: int
    """Documents that stay as they are: a value does not open, or an index refuses the new form."""
    last_id: str | None
    """Where the next batch begins; None at the end of the collection."""


class EncryptedCollection(Protocol):
    @property
    def name(self) -> str: ...

    async def count(self) -> int:
        """About how many documents it has."""

    async def sweep(self, after_id: str, *, limit: int) -> SweptBatch:
        """Looks at the documents after an id, at most `limit`, and encrypts anew what stands in the clear,
        under another key or by another algorithm. A write at the same moment wins. Raises
        `DependencyUnavailable`.
        """
