"""Limits how often an outage is logged, since every call that meets it would log the same line."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Final

OUTAGE_INTERVAL_S: Final = 60.0
"""Seconds between two lines about one subject."""


class OutageLog:
    """Decides when a line is due. Subjects come from a small closed set, of which each is remembered."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """`monotonic` returns seconds."""
        self._monotonic = monotonic
        self._logged_s: dict[Hashable, float] = {}
        self._suppressed: dict[Hashable, int] = {}

    def due(self, subject: Hashable) -> int | None:
        """Whether a failure now is due for a line: None when not, else the number of failures of the same
        subject that got no line since its last one."""
        now_s, logged_s = self._monotonic(), self._logged_s.get(subject)
        if logged_s is not None and now_s - logged_s < OUTAGE_INTERVAL_S:
            self._suppressed[subject] = self._suppressed.get(subject, 0) + 1
            return None
        self._logged_s[subject] = now_s
        return self._suppressed.pop(subject, 0)
