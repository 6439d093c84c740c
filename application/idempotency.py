"""Idempotency of writes outside of the ledger: a repeat under the same key gets the first answer again."""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from application.call_log import traced
from domain.audit import ANONYMOUS, RequestContext
from domain.idempotency import RememberedAnswer, answer_id, request_fingerprint
from ports.clock import Clock
from ports.encryption.sealing import Sealer
from ports.idempotency import IdempotencyStore


@dataclass(frozen=True, slots=True)
class Replay:
    """The answer that the first request got."""

    status: int
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyConflict:
    """Another request used the key before."""


class NewRequest:
    """The first request under its key. Its write stores the answer that `answer` makes."""

    __slots__ = ("_at_ms", "_fingerprint", "_id", "_sealer")

    def __init__(self, id: str, fingerprint: bytes, at_ms: int, sealer: Sealer) -> None:
        self._id = id
        self._fingerprint = fingerprint
        self._at_ms = at_ms
        self._sealer = sealer

    def answer(self, status: int, body: bytes) -> RememberedAnswer:
        """The answer to store with the write. Its body is sealed."""
        sealed = self._sealer.seal(body, self._id.encode())
        return RememberedAnswer(self._id, self._fingerprint, status, sealed, self._at_ms)


class Idempotency:
    """Tells new requests from repeats by their idempotency keys, for a day (`domain.idempotency`)."""

    def __init__(self, *, answers: IdempotencyStore, sealer: Sealer, clock: Clock, secret: bytes) -> None:
        """`secret` digests callers, keys and requests."""
        self._answers = answers
        self._sealer = sealer
        self._clock = clock
        self._secret = secret

    @traced
    async def begin(
        self, context: RequestContext, *, key: str, operation: str, body: bytes
    ) -> Replay | KeyConflict | NewRequest:
        """Whether a request under an idempotency key is new, a repeat, or in conflict with another one.

        `operation` is the route with its parameters, `body` the body as received. Keys belong to the actor of
        `context`; anonymous actors are told apart by address. Raises `DependencyUnavailable`.
        """
        actor = f"{ANONYMOUS}:{context.address}" if context.actor == ANONYMOUS else context.actor
        digest = answer_id(self._secret, actor, key)
        fingerprint = request_fingerprint(self._secret, operation, body)
        now_ms = self._clock.now_ms()
        found = await self._answers.find(digest, now_ms=now_ms)
        if found is None:
            return NewRequest(digest, fingerprint, now_ms, self._sealer)
        opened = self._sealer.open(found.sealed_body, digest.encode())
        if opened is None or not hmac.compare_digest(found.fingerprint, fingerprint):
            # An answer sealed under a lost key cannot be returned, and its write must not be repeated.
            return KeyConflict()
        return Replay(found.status, opened)
