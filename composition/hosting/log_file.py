"""A log file that is there again after somebody removed it."""

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
LOOK_INTERVAL_S: Final = 1.0
"""How often it is looked whether the file is still in its place."""
COMPLAINT_INTERVAL_S: Final = 60.0


class LogFile(RotatingFileHandler):
    """Begins anew, in a folder of the same name, where its file or folder was removed or moved away.

    A file that cannot be written stops nobody: standard error hears of it once a minute.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(
            path, maxBytes=FILE_BYTES_MAX, backupCount=FILES_KEPT_MAX, encoding="utf-8", delay=True
        )
        self._path = path
        self._look_at_s = 0.0
        self._complain_at_s = 0.0

    def emit(self, record: LogRecord) -> None:
        now_s = time.monotonic()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_INTERVAL_S
            # What is wrong with the folder is noticed by whoever writes.
            with suppress(OSError):
                self._look()
        super().emit(record)

    def handleError(self, record: LogRecord) -> None:  # noqa: ARG002, N802 - the library's
        now_s = time.monotonic()
        if now_s < self._complain_at_s:
            return
        self._complain_at_s = now_s + COMPLAINT_INTERVAL_S
        with suppress(OSError, ValueError):
            print(f"{self._path} is not written: {sys.exc_info()[1]}", file=sys.stderr, flush=True)

    def _look(self) -> None:
        stream = self.stream
        if stream is not None and not self._is_in_place(stream):
            # The next line opens it anew, even where closing it fails.
            self.stream = None
            stream.close()
        self._path.parent.mkdir(parents=True, exist_ok=True)

    def _is_in_place(self, stream: TextIOWrapper) -> bool:
        try:
            return samestat(self._path.stat(), fstat(stream.fileno()))
        except OSError:
            return False
