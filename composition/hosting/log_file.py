"""A log file that reappears after its removal."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from io import TextIOWrapper
from logging import LogRecord
from logging.handlers import RotatingFileHandler
from os import fstat
from os.path import samestat
from pathlib import Path
from typing import Final

FILE_BYTES_MAX: Final = 16 << 20
FILES_KEPT_MAX: Final = 5
CHECK_INTERVAL_S: Final = 1.0
"""Between two checks whether the file is still in its place."""
COMPLAINT_INTERVAL_S: Final = 60.0


class LogFile(RotatingFileHandler):
    """Creates its file and directory again after either was removed or moved away.

    A file that cannot be written stops no process; standard error gets a line about it once a minute.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(
            path, maxBytes=FILE_BYTES_MAX, backupCount=FILES_KEPT_MAX, encoding="utf-8", delay=True
        )
        self._path = path
        self._check_at_s = 0.0
        self._complain_at_s = 0.0

    def emit(self, record: LogRecord) -> None:
        now_s = time.monotonic()
        if now_s >= self._check_at_s:
            self._check_at_s = now_s + CHECK_INTERVAL_S
            # The next write fails on the same fault and reports it.
            with suppress(OSError):
                self._check()
        super().emit(record)

    def handleError(self, record: LogRecord) -> None:  # noqa: ARG002, N802 - the library's
        now_s = time.monotonic()
        if now_s < self._complain_at_s:
            return
        self._complain_at_s = now_s + COMPLAINT_INTERVAL_S
        with suppress(OSError, ValueError):
            print(f"{self._path} is not written: {sys.exc_info()[1]}", file=sys.stderr, flush=True)

    def _check(self) -> None:
        stream = self.stream
        if stream is not None and not self._is_in_place(stream):
            # The next line opens the file again, even where closing it fails.
            self.stream = None
            stream.close()
        self._path.parent.mkdir(parents=True, exist_ok=True)

    def _is_in_place(self, stream: TextIOWrapper) -> bool:
        try:
            return samestat(self._path.stat(), fstat(stream.fileno()))
        except OSError:
            return False
