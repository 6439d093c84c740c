"""Reads recent revocations from the stores, and closes the connections that they end.

A revocation is committed to a store and then published to the limiter and over the bus, so that other
processes refuse the session or key at once. Publishing may fail, and the publisher may die. So every process
also polls the stores, twice a second, and depends on no message.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final, Protocol

from application.identity.revocations import REVOCATION_MS
from application.recurring import Recurring
from domain.limits.identifiers import Identifier, IdentifierType
from domain.realtime.events import CloseCode
from ports.clock import Clock
from ports.identity.api_keys import ApiKeys
from ports.identity.sessions import Sessions
from ports.limits.limiter import Limiter
from ports.runtime import UNAVAILABLE, Runtime

POLL_INTERVAL_S: Final = 0.5
OVERLAP_MS: Final = 2_000
"""How far a poll reads back before the last one: a revocation is dated before it becomes visible."""
WIDE_INTERVAL_S: Final = 5.0
WIDE_OVERLAP_MS: Final = 60_000
"""The overlap of an occasional poll, for the longest transaction on a host with the slowest clock."""
BANS_INTERVAL_S: Final = 3.0
"""Between two checks of every connected user for a ban: 20,000 users take some 50 ms of the process."""
READ_MAX: Final = 10_000
REVOKED_MAX: Final = 50_000
"""Ids that are remembered, some 200 bytes each."""
BATCH_MAX: Final = 500
"""Sessions, or users, that one query checks."""

_log = logging.getLogger(__name__)


class RecentlyRevoked:
    """Ids of revoked sessions and keys, each for `REVOCATION_MS`: as long as a token of it may live."""

    def __init__(self, runtime: Runtime, *, ids_max: int = REVOKED_MAX) -> None:
        self._monotonic = runtime.monotonic
        self._since_s: dict[str, float] = {}
        self._ids_max = ids_max
        self._incomplete_until_s = float("-inf")

    def __contains__(self, revoked: object) -> bool:
        return revoked in self._since_s

    def __len__(self) -> int:
        return len(self._since_s)

    @property
    def is_complete(self) -> bool:
        """False when more were revoked than are remembered: an id that is missing here may be revoked."""
        return self._monotonic() >= self._incomplete_until_s

    def add(self, revoked: Iterable[str]) -> list[str]:
        """Remembers ids, and returns the new ones among them."""
        now_s, since_s = self._monotonic(), self._since_s
        new = [each for each in revoked if each not in since_s]
        since_s.update(dict.fromkeys(new, now_s))
        while since_s:
            oldest = next(iter(since_s))
            if now_s - since_s[oldest] < REVOCATION_MS / 1_000:
                if len(since_s) <= self._ids_max:
                    break
                self.mark_incomplete()
            del since_s[oldest]
        return new

    def mark_incomplete(self) -> None:
        """More were revoked than could be read or remembered."""
        self._incomplete_until_s = self._monotonic() + REVOCATION_MS / 1_000


class LocalConnections(Protocol):
    """The connections of this process, of every transport."""

    def sessions_here(self) -> list[str]:
        """The ids of the sessions that have a connection."""

    def users_here(self) -> list[str]:
        """The ids of the users that have a connection."""

    def close_session_here(self, session_id: str, code: CloseCode) -> None:
        """Closes the connections of a session."""

    def close_user_here(self, user_id: str, code: CloseCode) -> None:
        """Closes the connections of a user."""


class RevocationWatch:
    """One supervised task between `start` and `stop`."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        api_keys: ApiKeys,
        limiter: Limiter,
        connected: LocalConnections,
        revoked: RecentlyRevoked,
        runtime: Runtime,
        clock: Clock,
    ) -> None:
        self._sessions = sessions
        self._api_keys = api_keys
        self._limiter = limiter
        self._connected = connected
        self._revoked = revoked
        self._runtime = runtime
        self._clock = clock
        self._polled_ms: int | None = None
        self._polled_wide_ms = 0
        self._bans_checked_s = float("-inf")
        # Counts and no flag: a recheck may be asked for while one is under way.
        self._rechecks = self._rechecked_sessions = self._rechecked_bans = 0
        self._watching = Recurring(runtime, self._watch, name="revocation-watch")

    async def start(self) -> None:
        """Polls from now on, every `POLL_INTERVAL_S`."""
        self._watching.start()

    async def stop(self) -> None:
        """Returns once no poll is under way."""
        await self._watching.stop()

    def recheck(self) -> None:
        """Has every connection's session and ban checked soon, after messages may have been missed.

        Neither blocks nor raises.
        """
        self._rechecks += 1

    async def _watch(self) -> float:
        try:
            await self._poll_revocations()
            # A recheck that is asked for from here on needs another round.
            rechecks = self._rechecks
            if rechecks != self._rechecked_sessions:
                await self._check_sessions()
                self._rechecked_sessions = rechecks
            # The limiter alone holds bans, and the message about one may be lost unnoticed.
            now_s = self._runtime.monotonic()
            if rechecks != self._rechecked_bans or now_s - self._bans_checked_s >= BANS_INTERVAL_S:
                await self._check_bans()
                self._rechecked_bans, self._bans_checked_s = rechecks, now_s
        except UNAVAILABLE as error:
            _log.debug("what has ended could not be looked at: %s", error)
        except Exception:  # noqa: BLE001 - a fault in one round must not end the rounds after it
            _log.exception("what has ended could not be looked at")
        return POLL_INTERVAL_S

    async def _poll_revocations(self) -> None:
        now_ms = self._clock.now_ms()
        since_ms = now_ms - REVOCATION_MS if self._polled_ms is None else self._polled_ms - OVERLAP_MS
        is_wide = now_ms - self._polled_wide_ms >= WIDE_INTERVAL_S * 1_000
        if is_wide and self._polled_ms is not None:
            since_ms = min(since_ms, self._polled_wide_ms - WIDE_OVERLAP_MS)
        sessions = await self._sessions.revoked_since(since_ms, limit=READ_MAX)
        keys = await self._api_keys.revoked_since(since_ms, limit=READ_MAX)
        for session_id in self._revoked.add(sessions):
            self._connected.close_session_here(session_id, CloseCode.NOT_AUTHENTICATED)
        self._revoked.add(keys)
        if READ_MAX in (len(sessions), len(keys)):
            self._revoked.mark_incomplete()
            self.recheck()
        self._polled_ms = now_ms
        if is_wide:
            self._polled_wide_ms = now_ms

    async def _check_sessions(self) -> None:
        now_ms, sessions = self._clock.now_ms(), self._connected.sessions_here()
        for start in range(0, len(sessions), BATCH_MAX):
            batch = sessions[start : start + BATCH_MAX]
            for session_id in await self._sessions.ended_among(batch, now_ms=now_ms):
                self._connected.close_session_here(session_id, CloseCode.NOT_AUTHENTICATED)

    async def _check_bans(self) -> None:
        users = [Identifier(IdentifierType.USER, user_id) for user_id in self._connected.users_here()]
        for start in range(0, len(users), BATCH_MAX):
            for banned in await self._limiter.banned_among(users[start : start + BATCH_MAX]):
                self._connected.close_user_here(banned.value, CloseCode.FORBIDDEN)
