"""Where servers under test keep what they throw away in the end."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

SHARED_MEMORY = Path("/dev/shm")
FREE_BYTES_MIN = 2 << 30
"""A dozen servers at once keep some 15 MB each; beyond that, so much lies ready for what tests write."""


def scratch_directory(prefix: str) -> Path:
    """A new directory, in memory where that has room.

    A disk would only cost time: tests kill processes, and never the machine, so what a server has written and
    not synced is there for the next start either way.
    """
    return Path(tempfile.mkdtemp(prefix=prefix, dir=SHARED_MEMORY if _has_room(SHARED_MEMORY) else None))


def _has_room(directory: Path) -> bool:
    try:
        return shutil.disk_usage(directory).free >= FREE_BYTES_MIN
    except OSError:
        return False
