"""Many deadlines, one timer: a timing wheel (Varghese and Lauck, 1987) with as many slots as are in use."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)


class Deadlines(Generic[Item]):
    """At most one deadline an item. It comes up at its moment or within `grain_ms` after it, never before.

    Setting and forgetting cost the same however many items there are.
    """

    __slots__ = ("_grain_ms", "_slot_of", "_slots")

    def __init__(self, *, grain_ms: int) -> None:
        self._grain_ms = grain_ms
        self._slots: dict[int, set[Item]] = {}
        self._slot_of: dict[Item, int] = {}

    def __len__(self) -> int:
        return len(self._slot_of)

    def put(self, item: Item, due_ms: int | None) -> None:
        """Sets, moves or (None) forgets the item's deadline."""
        number = None if due_ms is None else -(-due_ms // self._grain_ms)
        before = self._slot_of.get(item)
        if number == before:
            return
        if before is not None:
            self._leave(item, before)
        if number is not None:
            self._slot_of[item] = number
            self._slots.setdefault(number, set()).add(item)

    def pop_due(self, now_ms: int) -> list[Item]:
        """Takes out every item whose deadline has come."""
        now = now_ms // self._grain_ms
        due = [item for number in [n for n in self._slots if n <= now] for item in self._slots.pop(number)]
        for item in due:
            del self._slot_of[item]
        return due

    def _leave(self, item: Item, number: int) -> None:
        del self._slot_of[item]
        slot = self._slots[number]
        slot.discard(item)
        if not slot:
            del self._slots[number]
