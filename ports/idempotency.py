"""Where answers to idempotent writes are found again. They are stored by the write itself, or right after one
that goes to another store."""

from __future__ import annotations

from typing import Protocol

from domain.idempotency import RememberedAnswer


class AlreadyAnswered(Exception):
    """Another request with the same key was answered meanwhile: this one has written nothing.

    Raised by every write that takes an `answer` to store along.
    """


class IdempotencyStore(Protocol):
    async def find(self, answer_id: str, *, now_ms: int) -> RememberedAnswer | None:
        """None when it is forgotten, too. Raises `DependencyUnavailable`."""

    async def remember(self, answer: RememberedAnswer) -> None:
        """For a write that goes to another store, once it is done. Raises `AlreadyAnswered`, which undoes
        nothing of it, and `DependencyUnavailable`."""
