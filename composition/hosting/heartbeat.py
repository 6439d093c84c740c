"""What a worker says to its supervisor, on a pipe: that it serves, and that its event loop turns."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

BEAT_S: Final = 0.5
"""A worker says so often that it lives."""
_BEAT: Final = b"."
_READY: Final = b"R"
_SAID_BYTES_MAX: Final = 4096

STARVED_TIMES_MAX: Final = 6
"""So many times the bound of silence may last while a worker waits for a processor."""


class Heartbeat:
    """The worker's end. It never waits, and a supervisor that is gone or does not read harms nobody."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor

    def beat(self) -> None:
        self._say(_BEAT)

    def ready(self) -> None:
        self._say(_READY)

    def _say(self, what: bytes) -> None:
        with suppress(OSError):
            os.write(self._descriptor, what)


class Heard:
    """The supervisor's end."""

    def __init__(self, descriptor: int) -> None:
        os.set_blocking(descriptor, False)
        self.descriptor = descriptor
        self.is_ready = False
        self.is_over = False
        """Nobody has the other end any more."""

    def listen(self) -> bool:
        """Whether anything was said since the last call."""
        if self.is_over:
            return False
        try:
            said = os.read(self.descriptor, _SAID_BYTES_MAX)
        except BlockingIOError:
            return False
        self.is_ready = self.is_ready or _READY in said
        self.is_over = not said
        return bool(said)

    def close(self) -> None:
        os.close(self.descriptor)


class Silence:
    """How long a worker has said nothing, in time in which it could have.

    What it waited for a processor does not count, so that a crowded machine kills nobody; up to a bound,
    since a loop that is blocked by work of its own may wait as well.
    """

    def __init__(self, process_id: int) -> None:
        self._scheduling = Path(f"/proc/{process_id}/schedstat")
        self._waited_s = self._waited()
        self._awake_s = 0.0
        self._counted_s = 0.0

    def broken(self) -> None:
        self._awake_s = self._counted_s = 0.0
        self._waited_s = self._waited()

    def lasts(self, awake_s: float) -> None:
        """Longer by this time, in which whoever listens was awake."""
        waited_s = self._waited()
        self._awake_s += awake_s
        self._counted_s += max(awake_s - (waited_s - self._waited_s), 0.0)
        self._waited_s = waited_s

    def exceeds(self, bound_s: float) -> bool:
        return self._counted_s > bound_s or self._awake_s > bound_s * STARVED_TIMES_MAX

    def _waited(self) -> float:
        """Seconds that its main thread, where the loop runs, was ready and had no processor (proc(5))."""
        try:
            return int(self._scheduling.read_text().split()[1]) / 1e9
        except (OSError, ValueError, IndexError):
            return 0.0
