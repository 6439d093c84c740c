"""`Idempotency-Key` on the writes outside of the ledger, which has its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from adapters.asgi.problems import Headers, Problem
from adapters.web.route import Answer, Call
from application.idempotency import Idempotency, KeyConflict, NewRequest, Replay
from domain.idempotency import RememberedAnswer
from ports.idempotency import AlreadyAnswered

KEY_CONFLICT = Problem(
    409, "idempotency_conflict", "This Idempotency-Key was used before, with another request."
)
ANSWERED_BEFORE: Headers = (("Idempotent-Replayed", "true"),)


class Remember:
    """What a write is to store of its answer; nothing where the caller sent no key."""

    def __init__(self, promise: NewRequest | None) -> None:
        self._promise = promise

    def answer(self, status: int, body: msgspec.Struct | None = None) -> RememberedAnswer | None:
        """What is stored along with the write, for a repeat of the request; None where there is no key."""
        if self._promise is None:
            return None
        return self._promise.answer(status, b"" if body is None else msgspec.json.encode(body))


Work = Callable[[Remember], Awaitable[Answer | Problem]]


async def once(
    idempotency: Idempotency, call: Call[Any, Any], operation: str, work: Work
) -> Answer | Problem:
    """The work's answer; a key that was seen before gets the first one again. Refusals are not remembered,
    so what was refused may be tried again."""
    key = call.idempotency_key
    if key is None:
        return await work(Remember(None))
    target = "\0".join((operation, *(f"{name}={value}" for name, value in sorted(call.path.items()))))
    # As it was understood: a repeat may be written otherwise.
    body = b"" if call.body is None else msgspec.json.encode(call.body)

    async def look() -> Replay | KeyConflict | NewRequest:
        return await idempotency.begin(call.context, key=key, operation=target, body=body)

    found = await look()
    if isinstance(found, NewRequest):
        refused = None
        try:
            answer = await work(Remember(found))
        except AlreadyAnswered:
            pass
        else:
            if isinstance(answer, Answer):
                return answer
            refused = answer
        # The same request, sent twice at once, may have been first, and the reason for the refusal.
        found = await look()
        if refused is not None and not isinstance(found, Replay):
            return refused
    if isinstance(found, Replay):
        replayed = msgspec.Raw(found.body) if found.body else None
        return Answer(found.status, replayed, ANSWERED_BEFORE)
    return KEY_CONFLICT
