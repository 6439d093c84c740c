"""The file of a bootstrap API key: read, checked and replaced."""

from __future__ import annotations

import errno
import os
import socket
import tempfile
from pathlib import Path

KEY_BYTES_MAX = 256


def place_of(file: Path) -> str:
    """The name of a file on this host, the same for every spelling of its path."""
    return f"{socket.gethostname()}:{file.resolve()}"


def first_line(file: Path) -> str | None:
    """The first line of a file; None when there is none to read."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as stream:
            return stream.readline(KEY_BYTES_MAX).decode("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None


def check_writable(path: Path) -> None:
    """Raises `OSError` where `write_private` would, before there is a key that could not be written."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    descriptor, unfinished = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(descriptor)
    Path(unfinished).unlink()


def write_private(path: Path, text: str) -> None:
    """Replaces a file atomically, with mode 0600, so that no reader sees half of it. Raises `OSError`."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    unfinished = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            os.fchmod(stream.fileno(), 0o600)
            stream.write(text + "\n")
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
