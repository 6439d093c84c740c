"""The private directory in which the workers of one supervisor meet."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

PREFIX: Final = "credit-workers-"
_CONTENT: Final = frozenset({".lock", ".sock"})


@contextmanager
def runtime_directory(parent: Path | None) -> Iterator[Path]:
    """A new directory in `parent` or among temporary files. Removes those of dead supervisors.

    It is locked for as long as this process lives, which also keeps systemd-tmpfiles away. Nothing depends on
    that: workers recreate a removed directory.
    """
    if parent is not None:
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    where = parent or Path(tempfile.gettempdir())
    for each in where.glob(f"{PREFIX}*"):
        with suppress(OSError):
            _remove_if_left(each)
    directory = Path(tempfile.mkdtemp(prefix=PREFIX, dir=where))
    descriptor = _locked(directory)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
        if descriptor is not None:
            os.close(descriptor)


def _locked(directory: Path) -> int | None:
    """A descriptor that holds the lock; None when another process does, or the directory is gone."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _remove_if_left(directory: Path) -> None:
    status = directory.lstat()
    is_ours = stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid()
    if not is_ours or stat.S_IMODE(status.st_mode) != 0o700:
        return
    descriptor = _locked(directory)
    if descriptor is None:
        return
    try:
        # Another program may have directories of the same name.
        if all(each.suffix in _CONTENT for each in directory.iterdir()):
            shutil.rmtree(directory)
    finally:
        os.close(descriptor)
