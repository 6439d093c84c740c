"""The time of day."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """The wall clock of this process."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC. May step, in either direction."""
