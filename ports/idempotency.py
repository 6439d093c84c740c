"""Answers to idempotent writes, stored by the write itself, or right after one to another store."""

from __future__ import annotations

from typing import Protocol

from domain.idempotency import RememberedAnswer


class AlreadyAnswered(Exception):
    """Another request with the same key was answered first. This one has written nothing.

    Every write that takes an `answer` raises it.
    """


class IdempotencyStore(Protocol):
    """Every method raises `DependencyUnavailable`."""

    async def find(self, answer_id: str, *, now_ms: int) -> RememberedAnswer | None:
        """The answer of this id; None when there is none, or it is forgotten at `now_ms`."""

    async def remember(self, answer: RememberedAnswer) -> None:
        """Stores the answer to a write that another store has committed.

        Raises `AlreadyAnswered` for an id that has an answer; the write stays.
        """
