"""The seam between the protocol and what carries it: locks, listeners and streams under a name each."""

from __future__ import annotations

from typing import Protocol


class Stream(Protocol):
    """Bytes both ways. One task receives, and one at a time sends."""

    async def receive(self) -> bytes:
        """Some bytes; none at the end. Raises `OSError`."""

    async def send(self, data: bytes) -> None:
        """Waits while the other side has not read what was sent before. Raises `OSError`."""

    def end(self) -> None:
        """Both directions end: who receives gets the end, on both sides. May be called again."""

    def close(self) -> None:
        """Receivers and senders end."""


class Listener(Protocol):
    async def accept(self) -> Stream:
        """Raises `OSError`."""

    def is_in_place(self) -> bool:
        """Whether others would connect to this one."""

    def close(self) -> None:
        """Nobody accepts any more, and nobody can connect."""


class HostLock(Protocol):
    """Held by one process at a time, and by no dead one."""

    def is_in_place(self) -> bool:
        """Whether it still keeps others from taking it."""

    def release(self) -> None: ...


class Host(Protocol):
    """Every call raises `OSError`."""

    def lock(self, name: str) -> HostLock | None:
        """Without waiting: None when it is held."""

    def listen(self, name: str) -> Listener:
        """Only whoever holds the lock of this name: it takes the place of a dead holder's."""

    def connect(self, name: str) -> Stream | None:
        """None when nobody listens."""
