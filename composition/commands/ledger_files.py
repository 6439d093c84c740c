"""The files of exported books: lines that are read more than once, an index of keys, and atomic writing."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from application.ledger.archive import LINE_BYTES_MAX, Lines, Register

COPY_BYTES = 1024 * 1024
STANDARD = "-"
"""The name of standard input or output, as in other commands."""


class FileLines:
    """`Lines` of a seekable file."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = file.seek(0, os.SEEK_END)

    @property
    def size(self) -> int:
        return self._size

    def read(self) -> Iterator[tuple[int, bytes]]:
        offset = 0
        while True:
            line = self.at(offset)
            if not line:
                return
            yield offset, line
            offset += len(line)

    def at(self, offset: int) -> bytes:
        self._file.seek(offset)
        return self._file.readline(LINE_BYTES_MAX + 1)


class KeyRegister:
    """`Register` in a file of SQLite, in a temporary directory."""

    def __init__(self, directory: Path) -> None:
        # One thread at a time uses it, not always the same one.
        self._connection = sqlite3.connect(directory / "keys", isolation_level=None, check_same_thread=False)
        # After a crash, nothing of it is needed.
        self._connection.execute("PRAGMA journal_mode=OFF")
        self._connection.execute("PRAGMA synchronous=OFF")
        self._connection.execute("CREATE TABLE keys (key TEXT PRIMARY KEY, place INTEGER) WITHOUT ROWID")

    def add(self, keys: Iterable[str], offset: int) -> str | None:
        self._connection.execute("BEGIN")
        for key in keys:
            try:
                self._connection.execute("INSERT INTO keys VALUES (?, ?)", (key, offset))
            except sqlite3.IntegrityError:
                return key
        self._connection.execute("COMMIT")
        return None

    def find(self, key: str) -> int | None:
        row = self._connection.execute("SELECT place FROM keys WHERE key = ?", (key,)).fetchone()
        return None if row is None else int(row[0])

    def close(self) -> None:
        self._connection.close()


@contextmanager
def opened_lines(name: str, standard_input: BinaryIO) -> Iterator[tuple[FileLines, KeyRegister]]:
    """The lines of a file, or of standard input, which is copied to a file, as it can be read only once."""
    with tempfile.TemporaryDirectory(prefix="creditctl-") as directory:
        register = KeyRegister(Path(directory))
        try:
            path = Path(name)
            if name == STANDARD:
                path = Path(directory) / "lines"
                with path.open("xb") as spool:
                    shutil.copyfileobj(standard_input, spool, COPY_BYTES)
            with path.open("rb") as file:
                yield FileLines(file), register
        finally:
            register.close()


@contextmanager
def written_whole(name: str, standard_output: BinaryIO) -> Iterator[BinaryIO]:
    """A file for its owner alone, which appears under its name when the block ends without an exception."""
    if name == STANDARD:
        yield standard_output
        standard_output.flush()
        return
    path = Path(name)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync_directory(path.parent)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _sync_directory(directory: Path) -> None:
    """Makes a new name durable, which only the sync of its directory does."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _fits(lines: FileLines, register: KeyRegister) -> tuple[Lines, Register]:
    return lines, register
