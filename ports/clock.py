"""What time it is."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Wall-clock time of this process."""

    def now_ms(self) -> int:
        """Milliseconds since the Unix epoch, UTC. It may step; who needs monotony sees to it."""
