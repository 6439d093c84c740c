"""Answers to idempotent writes, in memory."""

from __future__ import annotations

from collections import OrderedDict

from domain.idempotency import RememberedAnswer
from ports.idempotency import AlreadyAnswered, IdempotencyStore

ANSWERS_MAX = 100_000


class MemoryIdempotencyStore:
    """Keeps the newest `answers_max`."""

    def __init__(self, *, answers_max: int = ANSWERS_MAX) -> None:
        self._answers_max = answers_max
        self._answers: OrderedDict[str, RememberedAnswer] = OrderedDict()

    async def find(self, answer_id: str, *, now_ms: int) -> RememberedAnswer | None:
        found = self._answers.get(answer_id)
        return None if found is None or found.is_forgotten(now_ms) else found

    async def remember(self, answer: RememberedAnswer) -> None:
        self.put(answer)

    def put(self, answer: RememberedAnswer | None) -> None:
        """For a repository, before it writes: raises `AlreadyAnswered`."""
        if answer is None:
            return
        known = self._answers.get(answer.id)
        if known is not None and not known.is_forgotten(answer.at_ms):
            raise AlreadyAnswered
        self._answers[answer.id] = answer
        self._answers.move_to_end(answer.id)
        if len(self._answers) > self._answers_max:
            self._answers.popitem(last=False)


def _proof(answers: MemoryIdempotencyStore) -> IdempotencyStore:
    """mypy holds the adapter to its port here."""
    return answers
