"""The audit events of sessions and keys that end, and the publication of their ids."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from domain.audit import AuditAction, RequestContext, audit_event
from domain.identity.sessions import EndReason
from domain.identity.tokens import CLOCK_SKEW_S_MAX, TokenKind
from domain.ids import RANDOMNESS_BYTES
from ports.entropy import Entropy
from ports.identity.credential_store import EndEvents
from ports.identity.sessions import EndEvent, SessionRevocations
from ports.runtime import UNAVAILABLE

REVOCATION_MS = (TokenKind.ACCESS.lifetime_s + CLOCK_SKEW_S_MAX) * 1000
"""An access token outlives the revocation of its session by no more."""

_RESOURCES = {AuditAction.SESSION_ENDED: "session", AuditAction.API_KEY_REVOKED: "api_key"}
_log = logging.getLogger(__name__)


def session_end_event(
    context: RequestContext, reason: EndReason, *, now_ms: int, entropy: Entropy, actor: str | None = None
) -> EndEvent:
    """Makes the event of each session that ends for this reason. `actor` replaces that of the context."""
    return _end_event(AuditAction.SESSION_ENDED, context, reason, now_ms, entropy, actor)


def end_events(context: RequestContext, reason: EndReason, *, now_ms: int, entropy: Entropy) -> EndEvents:
    """Makes the event of each session and each API key that ends for this reason."""
    return EndEvents(
        session=_end_event(AuditAction.SESSION_ENDED, context, reason, now_ms, entropy, None),
        api_key=_end_event(AuditAction.API_KEY_REVOKED, context, reason, now_ms, entropy, None),
    )


def _end_event(
    action: AuditAction,
    context: RequestContext,
    reason: EndReason,
    now_ms: int,
    entropy: Entropy,
    actor: str | None,
) -> EndEvent:
    return lambda ended_id: audit_event(
        context,
        action,
        f"{_RESOURCES[action]}:{ended_id}",
        now_ms=now_ms,
        randomness=entropy.token(RANDOMNESS_BYTES),
        actor=actor,
        detail={"reason": reason.value},
    )


async def publish_revocations(revocations: SessionRevocations, ttl_ms: Mapping[str, int]) -> None:
    """Publishes each session or key, each for its time in milliseconds.

    Raises nothing for an unavailable limiter: the stores hold every revocation, and every process reads them
    from there (`application.identity.revocation_watch`).
    """
    for revoked_id, ttl in ttl_ms.items():
        try:
            await revocations.revoke_session(revoked_id, ttl_ms=ttl)
        except UNAVAILABLE as error:
            _log.debug("the end of %s was not told at once: %s", revoked_id, error)
