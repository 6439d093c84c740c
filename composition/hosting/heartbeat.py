"""Heartbeats on a pipe: a worker tells its supervisor that it serves and its event loop runs."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

BEAT_S: Final = 0.5
"""Seconds between two heartbeats."""
_BEAT: Final = b"."
_READY: Final = b"R"
_READ_BYTES_MAX: Final = 4096

STARVED_TIMES_MAX: Final = 6
"""How many times the bound a silence may last while a worker waits for a processor."""


class Heartbeat:
    """The worker's end of the pipe. It never blocks, and ignores an absent supervisor."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor

    def beat(self) -> None:
        """Tells that the event loop runs."""
        self._write(_BEAT)

    def ready(self) -> None:
        """Tells that the worker serves."""
        self._write(_READY)

    def _write(self, signal: bytes) -> None:
        with suppress(OSError):
            os.write(self._descriptor, signal)


class HeartbeatMonitor:
    """The supervisor's end of the pipe."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.is_ready = False
        self.is_closed = False
        """Whether the other end is closed."""

    def poll(self) -> bool:
        """Whether a heartbeat has arrived since the last call."""
        if self.is_closed:
            return False
        try:
            received = os.read(self.descriptor, _READ_BYTES_MAX)
        except BlockingIOError:
            return False
        self.is_ready = self.is_ready or _READY in received
        self.is_closed = not received
        return bool(received)

    def close(self) -> None:
        os.close(self.descriptor)


class Silence:
    """How long a worker has been silent, in time in which it could have sent a heartbeat.

    Time in which it waited for a processor does not count, so that a crowded machine kills no worker. That
    has a bound (`STARVED_TIMES_MAX`), since a loop that its own work blocks may wait for a processor, too.
    """

    def __init__(self, process_id: int) -> None:
        self._scheduling = Path(f"/proc/{process_id}/schedstat")
        self._waited_s = self._waited()
        self._awake_s = 0.0
        self._counted_s = 0.0

    def reset(self) -> None:
        """Begins anew, after a heartbeat."""
        self._awake_s = self._counted_s = 0.0
        self._waited_s = self._waited()

    def extend(self, awake_s: float) -> None:
        """Adds seconds of silence, in which the supervisor was awake."""
        waited_s = self._waited()
        self._awake_s += awake_s
        self._counted_s += max(awake_s - (waited_s - self._waited_s), 0.0)
        self._waited_s = waited_s

    def exceeds(self, bound_s: float) -> bool:
        """Whether the silence lasts for longer than a bound in seconds."""
        return self._counted_s > bound_s or self._awake_s > bound_s * STARVED_TIMES_MAX

    def _waited(self) -> float:
        """Seconds that the main thread, which runs the loop, has waited for a processor (proc(5))."""
        try:
            return int(self._scheduling.read_text().split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return 0.0
