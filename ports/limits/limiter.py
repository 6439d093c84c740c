"""Rate limits, bans and revocation, decided together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.limits.admission import Admission, Charge
from domain.limits.bans import Ban
from domain.limits.identifiers import Identifier


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """What is known of one identifier now. Times are milliseconds since the epoch."""

    identifier: Identifier
    windows: tuple[tuple[str, int], ...]
    """Policy name and how much of its limit is used up, in the order of the charges asked for."""
    violations: int
    ban: Ban | None
    """What refuses it: its own, or its network's when that ends later (`identifiers.network_of`)."""


@dataclass(frozen=True, slots=True)
class BanPosition:
    """Where a list of bans was left: at the ban that ends then, by the store's own name for it."""

    until_ms: int
    name: str


@dataclass(frozen=True, slots=True)
class BanPage:
    """Bans, those that end last first; one whose name cannot be read is left out. `next_position` is None
    at the end of the list."""

    items: tuple[Ban, ...]
    next_position: BanPosition | None


class Limiter(Protocol):
    """Every call is one atomic step in the store, on the store's own clock.

    In a cluster what is about one identifier, its network included, still is; a decision about several is
    one step an identifier, all at the same time. Nobody is ever admitted beyond a limit. But what a refused
    request takes from other identifiers is given back a moment later: until then another request may be
    refused for it, and if the store or this process goes away in that moment, it stays taken until its
    window has passed, and the refusal is no violation.

    Every call raises `DependencyUnavailable` when the store does not answer in time; a decision that
    raised may have counted.
    """

    async def decide(self, charges: Sequence[Charge], *, session: str | None, jitter: float) -> Admission:
        """Bans of every identifier and its network, then revocation of the session, then every window.

        `jitter` (0 … 0.1) lengthens a ban that this request causes. Raises ValueError for two charges
        of one window or more than `CHARGES_MAX`.
        """

    async def violate(self, identifier: Identifier, *, jitter: float) -> Ban | None:
        """One violation seen elsewhere (a stolen token, …); the ban it led to, if it did.

        While its ban or its network's is in force, and for those whom the ban policy does not blame, it
        counts as nothing.
        """

    async def ban(
        self,
        identifier: Identifier,
        *,
        duration_ms: int | None,
        jitter: float,
        reason: str = "",
    ) -> Ban:
        """Bans now, in place of a ban in force; None takes the duration that the level gives.

        A network (a /56) can be banned like an address; several /64s banned by hand do not ban it.
        """

    async def lift(self, identifier: Identifier) -> bool:
        """Ends its own ban; False when there was none."""

    async def status(self, identifier: Identifier, charges: Sequence[Charge]) -> LimitStatus:
        """`charges` name the policies to look at; those of other identifiers are left out."""

    async def clear(self, identifier: Identifier, charges: Sequence[Charge]) -> None:
        """Forgets the charges' windows, the violations, and of a network its banned /64s; a ban stays."""

    async def revoke_session(self, session: str, *, ttl_ms: int) -> None:
        """Its tokens are refused from now on, for as long as one of them could live."""

    async def restore_revocations(self, sessions: Mapping[str, int]) -> None:
        """Revokes each session for its `ttl_ms` and makes `revocations_known` true again."""

    async def bans(self, *, limit: int, after: BanPosition | None = None) -> BanPage:
        """Bans in force, at most `limit` of them, from `after` on."""

    async def bans_in_force(self) -> int: ...

    async def banned_among(self, identifiers: Sequence[Identifier]) -> Sequence[Identifier]:
        """Those of a few hundred with a ban of their own in force."""
