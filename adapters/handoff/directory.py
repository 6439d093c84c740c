"""A private directory that the workers of one supervisor share: for each name a lock and a Unix socket.

The kernel gives a dead process's lock free and ends its connections, however it died.
"""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from pathlib import Path
from typing import Final, Protocol

from adapters.handoff.host import Host, Stream

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
    """Raises `PermissionError` when the directory is anybody else's, or open to anybody else."""

    def __init__(self, directory: Path, sockets: Sockets) -> None:
        found = directory.stat()
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise PermissionError(f"{directory} is not private")
        self._directory = directory
        self._sockets = sockets

    def lock(self, name: str) -> FileLock | None:
        descriptor = os.open(self._directory / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except OSError:
            os.close(descriptor)
            raise
        return FileLock(descriptor)

    def listen(self, name: str) -> SocketListener:
        path = self._path(name)
        path.unlink(missing_ok=True)
        listening = _unix_socket()
        try:
            listening.bind(str(path))
            listening.listen(BACKLOG)
        except OSError:
            listening.close()
            raise
        return SocketListener(path, listening, self._sockets)

    def connect(self, name: str) -> SocketStream | None:
        connected = _unix_socket()
        try:
            # A Unix socket connects at once or not at all.
            connected.connect(str(self._path(name)))
        except NOBODY:
            connected.close()
            return None
        except OSError:
            connected.close()
            raise
        return SocketStream(connected, self._sockets)

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.sock"


class FileLock:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def release(self) -> None:
        os.close(self._descriptor)


class SocketListener:
    def __init__(self, path: Path, listening: socket.socket, sockets: Sockets) -> None:
        self._path = path
        self._listening = listening
        self._sockets = sockets

    async def accept(self) -> Stream:
        return SocketStream(await self._sockets.accept(self._listening), self._sockets)

    def close(self) -> None:
        self._listening.close()
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


def _unix_socket() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.setblocking(False)
    return made


def _fits(host: DirectoryHost) -> Host:
    """mypy holds the adapter to its seam here."""
    return host
