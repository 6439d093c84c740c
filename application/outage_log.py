"""How often an outage is logged: each call that meets it would say the same."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

OUTAGE_INTERVAL_S: Final = 60.0
"""Between two lines about the same thing."""


class OutageLog:
    """Says when a line is due. Subjects come from a small closed set: each is remembered."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """`monotonic` gives seconds."""
        self._monotonic = monotonic
        self._said_s: dict[Hashable, float] = {}
        self._unsaid: dict[Hashable, int] = {}

    def due(self, subject: Hashable) -> int | None:
        """For a failure now: how many of the same subject went unsaid since its last line, when another one
        is due; None when this failure goes unsaid, too."""
        now_s, said_s = self._monotonic(), self._said_s.get(subject)
        if said_s is not None and now_s - said_s < OUTAGE_INTERVAL_S:
            self._unsaid[subject] = self._unsaid.get(subject, 0) + 1
            return None
        self._said_s[subject] = now_s
        return self._unsaid.pop(subject, 0)
