"""Labels whose values outsiders choose are bounded: the first ones count, the rest are one."""

from __future__ import annotations

from collections.abc import Sequence

BOUNDED_NAMES = frozenset({"asset", "book"})
VALUES_MAX = 64
OTHER = "other"


class BoundedLabels:
    """Remembers the first values of each bounded label of one metric."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._seen: dict[str, set[str]] = {name: set() for name in names if name in BOUNDED_NAMES}

    def bounded(self, values: tuple[str, ...]) -> tuple[str, ...]:
        """The values to count under. Raises `ValueError` when their number is not that of the names."""
        if len(values) != len(self._names):
            raise ValueError(
                f"{len(values)} label values for the labels {', '.join(self._names) or '(none)'}"
            )
        if not self._seen:
            return values
        return tuple(map(self._value, self._names, values))

    def _value(self, name: str, value: str) -> str:
        seen = self._seen.get(name)
        if seen is None or value in seen:
            return value
        if len(seen) >= VALUES_MAX:
            return OTHER
        seen.add(value)
        return value
