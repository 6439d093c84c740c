"""Telling those who check from memory that sessions and keys have ended."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from domain.tokens import CLOCK_SKEW_S_MAX, TokenKind
from ports.errors import DependencyUnavailable
from ports.runtime import DeadlineExceeded, Overloaded
from ports.sessions import SessionRevocations

REVOCATION_MS = (TokenKind.ACCESS.lifetime_s + CLOCK_SKEW_S_MAX) * 1000
"""No access token of a session outlives its revocation by more."""

_AWAY = (DependencyUnavailable, Overloaded, DeadlineExceeded)
_log = logging.getLogger(__name__)


async def tell_ended(revocations: SessionRevocations, ttl_ms: Mapping[str, int]) -> None:
    """Each is told even when another could not be. Raises nothing for what could not be told: it has ended
    where it is kept, which is what was asked for, and every process finds it there (`application.ended`)."""
    for ended, ttl in ttl_ms.items():
        try:
            await revocations.revoke_session(ended, ttl_ms=ttl)
        except _AWAY as error:
            _log.debug("the end of %s was not told at once: %s", ended, error)
