"""Collections that were renamed, and the names they stand under until the database script renames them.

A worker follows a renaming while it runs. The script first takes every right to the earlier name away, so
that nothing is written or read there any more; then it renames, and leaves a view under the earlier name. A
call that is refused meanwhile is therefore made again, under the name that stands by then.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from adapters.mongo.driver.errors import NotPermitted

RENAMED: Final[Mapping[str, str]] = {"user_sessions": "sessions", "audit_logs": "audit"}
"""Today's name, and that of earlier releases."""
NOT_ON_VIEW: Final = 166


class CollectionNames:
    """What one driver knows. Until it has learnt them, today's names are taken to stand."""

    def __init__(self) -> None:
        self._earlier: Mapping[str, str] = {}

    @property
    def earlier(self) -> tuple[str, ...]:
        """The earlier names that are in use."""
        return tuple(sorted(self._earlier.values()))

    def standing(self, name: str) -> str:
        return self._earlier.get(name, name)

    def learn(self, collections: Iterable[str]) -> bool:
        """From the collections that a user sees, without views. True when other names stand than before.

        A name that was in use and is not seen may be closed to this user: it stands until the other is seen.
        """
        there = set(collections)
        found = {
            name: old
            for name, old in RENAMED.items()
            if name not in there and (old in there or name in self._earlier)
        }
        changed = found != self._earlier
        self._earlier = found
        return changed

    def may_have_changed(self, error: Exception) -> bool:
        """Whether a call may have been refused because a name is about to change, or has changed."""
        refused = isinstance(error, NotPermitted) or getattr(error, "code", None) == NOT_ON_VIEW
        return refused and bool(self._earlier)
