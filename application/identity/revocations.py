"""What ends along with a write: its events, and telling those who check from memory."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from domain.audit import AuditAction, RequestContext, audit_event
from domain.identity.sessions import EndReason
from domain.identity.tokens import CLOCK_SKEW_S_MAX, TokenKind
from domain.ids import RANDOMNESS_BYTES
from ports.entropy import Entropy
from ports.errors import DependencyUnavailable
from ports.identity.credential_store import EndEvents
from ports.identity.sessions import EndEvent, SessionRevocations
from ports.runtime import DeadlineExceeded, Overloaded

REVOCATION_MS = (TokenKind.ACCESS.lifetime_s + CLOCK_SKEW_S_MAX) * 1000
"""No access token of a session outlives its revocation by more."""

_RESOURCES = {AuditAction.SESSION_ENDED: "session", AuditAction.API_KEY_REVOKED: "api_key"}
_AWAY = (DependencyUnavailable, Overloaded, DeadlineExceeded)
_log = logging.getLogger(__name__)


def session_end_event(
    context: RequestContext, reason: EndReason, *, now_ms: int, entropy: Entropy, actor: str | None = None
) -> EndEvent:
    """An event for each session that ends for this reason. `actor` stands for the context's."""
    return _end_event(AuditAction.SESSION_ENDED, context, reason, now_ms, entropy, actor)


def end_events(context: RequestContext, reason: EndReason, *, now_ms: int, entropy: Entropy) -> EndEvents:
    """An event for each session and each key that ends for this reason."""
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
    return lambda ended: audit_event(
        context,
        action,
        f"{_RESOURCES[action]}:{ended}",
        now_ms=now_ms,
        randomness=entropy.token(RANDOMNESS_BYTES),
        actor=actor,
        detail={"reason": reason.value},
    )


async def publish_revocations(revocations: SessionRevocations, ttl_ms: Mapping[str, int]) -> None:
    """Each is told even when another could not be. Raises nothing for what could not be told: it has ended
    where it is kept, which is what was asked for, and every process finds it there
    (`application.identity.revocation_watch`)."""
    for ended, ttl in ttl_ms.items():
        try:
            await revocations.revoke_session(ended, ttl_ms=ttl)
        except _AWAY as error:
            _log.debug("the end of %s was not told at once: %s", ended, error)
