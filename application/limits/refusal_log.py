"""Who is refused for a limit or a ban, in the log: at once, and then once a minute. A flood of requests is no
flood of lines.

Keys and users are named by their ids. Addresses and account names, which the logs never hold, are counted
together; the audit log names what was banned.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from domain.limits.identifiers import Identifier, IdentifierType
from ports.runtime import Runtime, Task

INTERVAL_S: Final = 60.0
NAMED_MAX: Final = 200
"""So many keys and users have lines of their own in an interval; what is refused of others is one line a
type."""

_NAMED: Final = {IdentifierType.API_KEY: "API key", IdentifierType.USER: "user"}
_TOGETHER: Final = {
    IdentifierType.API_KEY: "other API keys",
    IdentifierType.USER: "other users",
    IdentifierType.IP: "addresses",
    IdentifierType.ACCOUNT_NAME: "account names",
}
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Tally:
    """What has not been said yet."""

    level: int
    refused: int = 0
    bans: int = 0


class RefusalLog:
    """Tells of what is noted; `note` returns at once and never raises."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._tallies: dict[str, _Tally] = {}
        self._named = 0
        self._telling: Task[None] | None = None

    def note(self, identifier: Identifier, *, refused: int = 0, bans: int = 0) -> None:
        """So many requests of theirs were refused, and so many bans came of it."""
        name = self._name(identifier)
        tally = self._tallies.get(name)
        if tally is not None:
            tally.refused += refused
            tally.bans += bans
            return
        level = logging.WARNING if identifier.type is IdentifierType.API_KEY else logging.INFO
        self._tallies[name] = _Tally(level)
        self._named += identifier.type in _NAMED
        _tell(name, _Tally(level, refused, bans), "now; more is told once a minute")
        if self._telling is None:
            self._telling = self._runtime.start(self._tell_on, name="refusals")

    def _name(self, identifier: Identifier) -> str:
        if identifier.type in _NAMED:
            name = f"{_NAMED[identifier.type]} {identifier.value}"
            if name in self._tallies or self._named < NAMED_MAX:
                return name
        return _TOGETHER[identifier.type]

    async def _tell_on(self) -> None:
        """Until nobody was refused for a whole interval."""
        try:
            while self._tallies:
                await self._runtime.sleep(INTERVAL_S)
                self._tell_all(f"in {INTERVAL_S:.0f} s")
        finally:
            self._tell_all("before the end")
            self._tallies.clear()
            self._named = 0
            self._telling = None

    def _tell_all(self, when: str) -> None:
        tallies, self._tallies, self._named = self._tallies, {}, 0
        for name, tally in tallies.items():
            if tally.refused or tally.bans:
                _tell(name, tally, when)
                self._tallies[name] = _Tally(tally.level)
                self._named += name not in _TOGETHER.values()


def _tell(name: str, tally: _Tally, when: str) -> None:
    level = logging.WARNING if tally.bans else tally.level
    _log.log(level, "limit or ban: %s, %s refused, %s new bans, %s", name, tally.refused, tally.bans, when)
