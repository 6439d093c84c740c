"""What has ended lately, as this process knows it from where it is kept.

An ending is written where it lasts, and then said to the limiter and over the bus, so that others refuse at
once what has ended. Saying it may fail, and the process that should say it may die. So every process also
looks where it is written, twice a second, and owes what it believes to nobody's memory.
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
from ports.errors import DependencyUnavailable
from ports.identity.api_keys import ApiKeys
from ports.identity.sessions import Sessions
from ports.limits.limiter import Limiter
from ports.runtime import DeadlineExceeded, Overloaded, Runtime

LOOK_INTERVAL_S: Final = 0.5
LOOK_BACK_MS: Final = 2_000
"""How far before the last look one reads: an ending carries the time at which it was decided, and shows when
it is committed."""
WIDE_INTERVAL_S: Final = 5.0
WIDE_LOOK_BACK_MS: Final = 60_000
"""The same now and then for a transaction that took all of its time, on a host whose clock is behind by as
much as tokens bear."""
BANS_INTERVAL_S: Final = 3.0
"""Between two looks at the bans of all who are connected: 20,000 of them take some 50 ms of the process."""
READ_MAX: Final = 10_000
ENDED_MAX: Final = 50_000
"""Ids that are remembered, some 200 bytes each."""
ASKED_MAX: Final = 500
"""Sessions, or users, that are looked up by one question."""

_AWAY = (DependencyUnavailable, Overloaded, DeadlineExceeded)
_log = logging.getLogger(__name__)


class RecentlyRevoked:
    """Ids of sessions and keys, each for as long as somebody may still believe in it."""

    def __init__(self, runtime: Runtime, *, ids_max: int = ENDED_MAX) -> None:
        self._monotonic = runtime.monotonic
        self._since_s: dict[str, float] = {}
        self._ids_max = ids_max
        self._incomplete_until_s = float("-inf")

    def __contains__(self, ended: object) -> bool:
        return ended in self._since_s

    def __len__(self) -> int:
        return len(self._since_s)

    @property
    def is_complete(self) -> bool:
        """False when more ended than is remembered: what is not in here may have ended all the same."""
        return self._monotonic() >= self._incomplete_until_s

    def add(self, ended: Iterable[str]) -> list[str]:
        """Those that are new."""
        now_s, since_s = self._monotonic(), self._since_s
        new = [each for each in ended if each not in since_s]
        since_s.update(dict.fromkeys(new, now_s))
        while since_s:
            oldest = next(iter(since_s))
            if now_s - since_s[oldest] < REVOCATION_MS / 1_000:
                if len(since_s) <= self._ids_max:
                    break
                self.miss_some()
            del since_s[oldest]
        return new

    def miss_some(self) -> None:
        """More ended than could be read or remembered."""
        self._incomplete_until_s = self._monotonic() + REVOCATION_MS / 1_000


class Connected(Protocol):
    """Who is connected to this process, whatever the transport."""

    def sessions_here(self) -> list[str]: ...

    def users_here(self) -> list[str]: ...

    def close_session_here(self, session_id: str, code: CloseCode) -> None: ...

    def close_user_here(self, user_id: str, code: CloseCode) -> None: ...


class RevocationWatch:
    """One supervised task while it runs."""

    def __init__(
        self,
        *,
        sessions: Sessions,
        api_keys: ApiKeys,
        limiter: Limiter,
        connected: Connected,
        ended: RecentlyRevoked,
        runtime: Runtime,
        clock: Clock,
    ) -> None:
        self._sessions = sessions
        self._api_keys = api_keys
        self._limiter = limiter
        self._connected = connected
        self._ended = ended
        self._runtime = runtime
        self._clock = clock
        self._looked_ms: int | None = None
        self._looked_wide_ms = 0
        self._bans_looked_s = float("-inf")
        self._doubts = self._sessions_settled = self._bans_settled = 0
        self._watching = Recurring(runtime, self._go_round, name="ended-watch")

    async def start(self) -> None:
        self._watching.start()

    async def stop(self) -> None:
        """Returns when nothing is being asked."""
        await self._watching.stop()

    def doubt(self) -> None:
        """Something may have been missed: the sessions and bans of all who are connected are looked at again.
        Neither blocks nor raises."""
        self._doubts += 1

    async def _go_round(self) -> float:
        try:
            await self._look()
            # A doubt that comes from here on needs another look.
            doubts = self._doubts
            if doubts != self._sessions_settled:
                await self._look_at_sessions()
                self._sessions_settled = doubts
            # A ban is nowhere but with the limiter, and its one word over the bus may be lost unnoticed.
            looked_s = self._runtime.monotonic()
            if doubts != self._bans_settled or looked_s - self._bans_looked_s >= BANS_INTERVAL_S:
                await self._look_at_bans()
                self._bans_settled, self._bans_looked_s = doubts, looked_s
        except _AWAY as error:
            _log.debug("what has ended could not be looked at: %s", error)
        except Exception:  # noqa: BLE001 - a fault of one round must not end all that follow
            _log.exception("what has ended could not be looked at")
        return LOOK_INTERVAL_S

    async def _look(self) -> None:
        now_ms = self._clock.now_ms()
        since_ms = now_ms - REVOCATION_MS if self._looked_ms is None else self._looked_ms - LOOK_BACK_MS
        is_wide = now_ms - self._looked_wide_ms >= WIDE_INTERVAL_S * 1_000
        if is_wide and self._looked_ms is not None:
            since_ms = min(since_ms, self._looked_wide_ms - WIDE_LOOK_BACK_MS)
        sessions = await self._sessions.revoked_since(since_ms, limit=READ_MAX)
        keys = await self._api_keys.revoked_since(since_ms, limit=READ_MAX)
        for session_id in self._ended.add(sessions):
            self._connected.close_session_here(session_id, CloseCode.NOT_AUTHENTICATED)
        self._ended.add(keys)
        if READ_MAX in (len(sessions), len(keys)):
            self._ended.miss_some()
            self.doubt()
        self._looked_ms = now_ms
        if is_wide:
            self._looked_wide_ms = now_ms

    async def _look_at_sessions(self) -> None:
        now_ms, sessions = self._clock.now_ms(), self._connected.sessions_here()
        for start in range(0, len(sessions), ASKED_MAX):
            some = sessions[start : start + ASKED_MAX]
            for session_id in await self._sessions.ended_among(some, now_ms=now_ms):
                self._connected.close_session_here(session_id, CloseCode.NOT_AUTHENTICATED)

    async def _look_at_bans(self) -> None:
        users = [Identifier(IdentifierType.USER, user_id) for user_id in self._connected.users_here()]
        for start in range(0, len(users), ASKED_MAX):
            for banned in await self._limiter.banned_among(users[start : start + ASKED_MAX]):
                self._connected.close_user_here(banned.value, CloseCode.FORBIDDEN)
