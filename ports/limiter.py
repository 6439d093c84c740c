"""Rate limits, bans and revocation, decided together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.admission import Admission, Charge, Identifier
from domain.bans import Ban


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """What is known of one identifier now. Times are milliseconds since the epoch."""

    identifier: Identifier
    windows: tuple[tuple[str, int], ...]
    """Policy name and what its window has counted."""
    violations: int
    ban: Ban | None


class Limiter(Protocol):
    """Every call is one atomic step in the store, on the store's own clock."""

    async def decide(self, charges: Sequence[Charge], *, session: str | None, jitter: float) -> Admission:
        """Bans of every identifier, then revocation of the session, then every window.

        `jitter` (0 … 0.1) lengthens a ban that this request causes. Raises `DependencyUnavailable`.
        """

    async def ban(self, identifier: Identifier, *, duration_ms: int | None, jitter: float) -> Ban:
        """Bans now; None takes the duration that the identifier's level gives."""

    async def lift(self, identifier: Identifier) -> bool:
        """Ends a ban; False when there was none."""

    async def status(self, identifier: Identifier, charges: Sequence[Charge]) -> LimitStatus: ...

    async def clear(self, identifier: Identifier, charges: Sequence[Charge]) -> None:
        """Forgets windows and violations; a ban stays."""

    async def revoke_session(self, session: str, *, ttl_ms: int) -> None:
        """Its tokens are refused from now on, for as long as one of them could live."""

    async def bans(self, *, limit: int) -> Sequence[Ban]:
        """Bans in force, at most `limit` of them."""
