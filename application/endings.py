"""Telling those who check from memory that sessions and keys have ended."""

from __future__ import annotations

from collections.abc import Mapping

from domain.tokens import CLOCK_SKEW_S_MAX, TokenKind
from ports.errors import DependencyUnavailable
from ports.runtime import DeadlineExceeded, Overloaded
from ports.sessions import SessionRevocations

REVOCATION_MS = (TokenKind.ACCESS.lifetime_s + CLOCK_SKEW_S_MAX) * 1000
"""No access token of a session outlives its revocation by more."""

_AWAY = (DependencyUnavailable, Overloaded, DeadlineExceeded)


async def tell_ended(revocations: SessionRevocations, ttl_ms: Mapping[str, int]) -> None:
    """Each is told even when another could not be. Raises what kept one from being told, in the end: it has
    ended all the same where it is kept."""
    missed: Exception | None = None
    for ended, ttl in ttl_ms.items():
        try:
            await revocations.revoke_session(ended, ttl_ms=ttl)
        except _AWAY as error:
            missed = error
    if missed is not None:
        raise missed
