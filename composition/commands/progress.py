"""A bar on a terminal while a command works; nothing anywhere else."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final, TextIO

WIDTH: Final = 30
REDRAWN_S: Final = 0.1
CLEAR_LINE: Final = "\r\x1b[K"


class ProgressBar:
    """Draws on one line, again and again, and takes it away when it is closed."""

    def __init__(self, title: str, stream: TextIO, clock: Callable[[], float] = monotonic) -> None:
        self._title = title
        self._stream = stream
        self._clock = clock
        self._is_shown = stream.isatty()
        self._began_s = clock()
        self._drawn_s = float("-inf")

    def __call__(self, done: int, all_: int) -> None:
        now_s = self._clock()
        if not self._is_shown or (now_s - self._drawn_s < REDRAWN_S and done < all_):
            return
        self._drawn_s = now_s
        part = min(1.0, done / all_) if all_ > 0 else 1.0
        filled = int(part * WIDTH)
        bar = "#" * filled + "-" * (WIDTH - filled)
        self._stream.write(f"{CLEAR_LINE}{self._title} [{bar}] {part:4.0%}{self._left(part, now_s)}")
        self._stream.flush()

    def _left(self, part: float, now_s: float) -> str:
        """How long it may take yet, once there is something to go by."""
        spent_s = now_s - self._began_s
        if not 0.01 < part < 1.0 or spent_s < 1.0:
            return ""
        left_s = round(spent_s * (1 - part) / part)
        return f"  {left_s // 60}:{left_s % 60:02d} left"

    def close(self) -> None:
        if self._drawn_s > float("-inf"):
            self._stream.write(CLEAR_LINE)
            self._stream.flush()
