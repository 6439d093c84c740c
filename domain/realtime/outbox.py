"""The frames that wait to be sent to one client."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from domain.realtime.events import Close


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """Both bounds hold for frames that wait and frames that are being written, together."""

    messages_max: int = 256
    bytes_max: int = 262_144


class Put(Enum):
    QUEUED = auto()
    FULL = auto()
    """The client reads too slowly; the frame was not taken."""
    ENDED = auto()
    """The connection is closing: nothing follows a close."""


class Outbox:
    """A bounded queue that ends with at most one close."""

    __slots__ = ("_bytes", "_bytes_taken", "_closing", "_frames", "_limits", "_taken")

    def __init__(self, limits: OutboxLimits) -> None:
        self._limits = limits
        # A list: an empty deque already weighs ten times as much, and most clients wait for nothing.
        self._frames: list[str] = []
        self._bytes = 0
        self._taken = 0
        self._bytes_taken = 0
        self._closing: Close | None = None

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def closing(self) -> Close | None:
        return self._closing

    def put(self, text: str, size_bytes: int) -> Put:
        if self._closing is not None:
            return Put.ENDED
        if (
            len(self._frames) + self._taken >= self._limits.messages_max
            or self._bytes + self._bytes_taken + size_bytes > self._limits.bytes_max
        ):
            return Put.FULL
        self._frames.append(text)
        self._bytes += size_bytes
        return Put.QUEUED

    def put_first(self, text: str, size_bytes: int) -> None:
        """For the greeting, which goes ahead of pushes that came while it was prepared. Always fits."""
        if self._closing is None:
            self._frames.insert(0, text)
            self._bytes += size_bytes

    def take(self) -> list[str]:
        """All that waits, to be written now; frames taken before count as written."""
        frames, self._frames = self._frames, []
        self._taken, self._bytes_taken = len(frames), self._bytes
        self._bytes = 0
        return frames

    def end(self, close: Close, *, drop: bool = False) -> bool:
        """Takes no more; `drop` forgets what waits. The first close wins: False when there was one."""
        if drop:
            self._frames = []
            self._bytes = 0
        if self._closing is not None:
            return False
        self._closing = close
        return True
