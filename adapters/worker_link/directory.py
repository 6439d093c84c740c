"""A private directory that the workers of one supervisor share: for each name a lock and a Unix socket.

The kernel gives a dead process's lock free and ends its connections, however it died. Whoever tidies up
temporary files may remove the directory: it is made again, and who put something there notices its loss.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Protocol

from adapters.worker_link.host import Host, Stream

RECEIVE_BYTES_MAX: Final = 256 * 1024
"""Taken from a socket at a time."""
BACKLOG: Final = 128
"""Connections that wait to be accepted; there is one a worker."""
NOBODY: Final = (FileNotFoundError, ConnectionRefusedError, BlockingIOError)
"""How a connect fails when nobody listens: no socket, that of a dead process, or nobody who accepts."""


class Sockets(Protocol):
    """What an event loop does with sockets that do not block. One task waits in each direction."""

    async def accept(self, listening: socket.socket) -> socket.socket: ...

    async def receive(self, connected: socket.socket, bytes_max: int) -> bytes: ...

    async def send(self, connected: socket.socket, data: bytes) -> None:
        """All of it."""


class DirectoryHost:
    """Each call raises `PermissionError` when the directory is anybody else's, or open to anybody else."""

    def __init__(self, directory: Path, sockets: Sockets) -> None:
        self._directory = directory
        self._sockets = sockets
        with self._opened():
            pass

    def lock(self, name: str) -> FileLock | None:
        path = self._directory / f"{name}.lock"
        with self._opened():
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            os.close(descriptor)
            raise
        return FileLock(path, descriptor)

    def listen(self, name: str) -> SocketListener:
        path = self._directory / _socket_name(name)
        listening = _unix_socket()
        try:
            with self._opened() as short:
                path.unlink(missing_ok=True)
                listening.bind(f"{short}/{path.name}")
                listening.listen(BACKLOG)
                bound = path.stat()
        except OSError:
            listening.close()
            raise
        return SocketListener(path, bound, listening, self._sockets)

    def connect(self, name: str) -> SocketStream | None:
        connected = _unix_socket()
        try:
            # A Unix socket connects at once or not at all.
            with self._opened() as short:
                connected.connect(f"{short}/{_socket_name(name)}")
        except NOBODY:
            connected.close()
            return None
        except OSError:
            connected.close()
            raise
        return SocketStream(connected, self._sockets)

    @contextmanager
    def _opened(self) -> Iterator[str]:
        """The directory, there and private, under a path that is short: a socket's has 107 bytes at most."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            found = os.fstat(descriptor)
            if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
                raise PermissionError(f"{self._directory} is not private")
            yield f"/proc/self/fd/{descriptor}"
        finally:
            os.close(descriptor)


class FileLock:
    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    def is_in_place(self) -> bool:
        return _is_there(self._path, os.fstat(self._descriptor))

    def release(self) -> None:
        os.close(self._descriptor)


class SocketListener:
    def __init__(self, path: Path, bound: os.stat_result, listening: socket.socket, sockets: Sockets) -> None:
        self._path = path
        self._bound = bound
        self._listening = listening
        self._sockets = sockets

    async def accept(self) -> Stream:
        return SocketStream(await self._sockets.accept(self._listening), self._sockets)

    def is_in_place(self) -> bool:
        return _is_there(self._path, self._bound)

    def close(self) -> None:
        self._listening.close()
        # Somebody else's may have taken its place.
        if self.is_in_place():
            self._path.unlink(missing_ok=True)


class SocketStream:
    def __init__(self, connected: socket.socket, sockets: Sockets) -> None:
        self._connected = connected
        self._sockets = sockets

    async def receive(self) -> bytes:
        return await self._sockets.receive(self._connected, RECEIVE_BYTES_MAX)

    async def send(self, data: bytes) -> None:
        await self._sockets.send(self._connected, data)

    def end(self) -> None:
        try:
            self._connected.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # The other side was faster, or it is closed.

    def close(self) -> None:
        self._connected.close()


def _socket_name(name: str) -> str:
    return f"{name}.sock"


def _is_there(path: Path, known: os.stat_result) -> bool:
    """Whether the path still leads to the same file."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return (found.st_dev, found.st_ino) == (known.st_dev, known.st_ino)


def _unix_socket() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.setblocking(False)
    return made


def _fits(host: DirectoryHost) -> Host:
    """mypy holds the adapter to its seam here."""
    return host
