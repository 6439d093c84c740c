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
    """The windows, violations and ban of one identifier. Times are milliseconds since the epoch."""

    identifier: Identifier
    windows: tuple[tuple[str, int], ...]
    """The name of each policy and the used part of its limit, in the order of the charges."""
    violations: int
    ban: Ban | None
    """The ban of the identifier or of its network (`identifiers.network_of`), whichever ends later."""


@dataclass(frozen=True, slots=True)
class BanPosition:
    """The last ban of a page: the time of its end, and its name in the store."""

    until_ms: int
    name: str


@dataclass(frozen=True, slots=True)
class BanPage:
    """A page of bans, the last to end first, without unreadable names. `next_position` may be None."""

    items: tuple[Ban, ...]
    next_position: BanPosition | None


class Limiter(Protocol):
    """Every call is one atomic step in the store, on the clock of the store.

    In a cluster, a step about one identifier and its network stays atomic; a decision about several
    identifiers is one step for each, all at the same time. No request is ever admitted beyond a limit. But a
    refused request may have charged other identifiers, which are refunded a moment later. Until then another
    request may be refused for it; and if the store or this process fails in that moment, the charge lasts
    until its window has passed, and the refusal counts as no violation.

    Every call raises `DependencyUnavailable` when the store does not answer in time; the request may have
    been counted then.
    """

    async def decide(self, charges: Sequence[Charge], *, session: str | None, jitter: float) -> Admission:
        """Decides a request by bans of identifiers and networks, then by revocation, then by windows.

        `jitter` (0 … 0.1) lengthens a ban that this request causes. Raises `ValueError` for two charges of
        one window, or more than `CHARGES_MAX`.
        """

    async def violate(self, identifier: Identifier, *, jitter: float) -> Ban | None:
        """Counts a violation of another kind, such as a stolen token. The ban that it causes, or None.

        Counts nothing while the identifier or its network is banned, or where the ban policy blames no
        identifier of this type.
        """

    async def ban(
        self,
        identifier: Identifier,
        *,
        duration_ms: int | None,
        jitter: float,
        reason: str = "",
    ) -> Ban:
        """Bans an identifier, in place of a ban in force. `duration_ms` None takes the duration of the level.

        A network (a /56) is banned like an address. Bans of several /64s by hand do not ban their /56.
        """

    async def lift(self, identifier: Identifier) -> bool:
        """Ends the identifier's own ban. False when there is none."""

    async def status(self, identifier: Identifier, charges: Sequence[Charge]) -> LimitStatus:
        """The status of an identifier under the policies of those `charges` that are its own."""

    async def clear(self, identifier: Identifier, charges: Sequence[Charge]) -> None:
        """Forgets the windows of the charges, the violations, and a network's banned /64s. A ban stays."""

    async def revoke_session(self, session: str, *, ttl_ms: int) -> None:
        """Refuses the tokens of a session for `ttl_ms`, the longest that one of them may live."""

    async def restore_revocations(self, sessions: Mapping[str, int]) -> None:
        """Revokes each session for its milliseconds. `Admission.revocations_known` is true from then on."""

    async def bans(self, *, limit: int, after: BanPosition | None = None) -> BanPage:
        """A page of at most `limit` bans in force, after the position of the page before."""

    async def bans_in_force(self) -> int:
        """The number of bans in force."""

    async def banned_among(self, identifiers: Sequence[Identifier]) -> Sequence[Identifier]:
        """The identifiers, among a few hundred, that have a ban of their own in force."""
