"""Logs refusals by limits and bans, once a minute after the first: a flood of requests floods no log.

API keys and users are named by their ids. Addresses and account names, which no log line may hold, are
counted together; the audit log names the banned ones.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

from domain.limits.identifiers import Identifier, IdentifierType
from ports.runtime import Runtime, Task

INTERVAL_S: Final = 60.0
NAMED_MAX: Final = 200
"""Keys and users with a line of their own in an interval. All others share one line for each type."""

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
    """The refusals and bans that are not logged yet."""

    level: int
    refused: int = 0
    bans: int = 0


class RefusalLog:
    """One supervised task while there is anything to log."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._tallies: dict[str, _Tally] = {}
        self._named = 0
        self._logging: Task[None] | None = None

    def add(self, identifier: Identifier, *, refused: int = 0, bans: int = 0) -> None:
        """Adds refused requests of an identifier, and bans that they caused. Never blocks or raises."""
        name = self._name(identifier)
        tally = self._tallies.get(name)
        if tally is not None:
            tally.refused += refused
            tally.bans += bans
            return
        level = logging.WARNING if identifier.type is IdentifierType.API_KEY else logging.INFO
        self._tallies[name] = _Tally(level)
        self._named += identifier.type in _NAMED
        _log_tally(name, _Tally(level, refused, bans), "now; more is told once a minute")
        if self._logging is None:
            self._logging = self._runtime.start(self._log_repeatedly, name="refusals")

    def _name(self, identifier: Identifier) -> str:
        if identifier.type in _NAMED:
            name = f"{_NAMED[identifier.type]} {identifier.value}"
            if name in self._tallies or self._named < NAMED_MAX:
                return name
        return _TOGETHER[identifier.type]

    async def _log_repeatedly(self) -> None:
        """Logs until a whole interval has passed without a refusal."""
        try:
            while self._tallies:
                await self._runtime.sleep(INTERVAL_S)
                self._log_all(f"in {INTERVAL_S:.0f} s")
        finally:
            self._log_all("before the end")
            self._tallies.clear()
            self._named = 0
            self._logging = None

    def _log_all(self, when: str) -> None:
        tallies, self._tallies, self._named = self._tallies, {}, 0
        for name, tally in tallies.items():
            if tally.refused or tally.bans:
                _log_tally(name, tally, when)
                self._tallies[name] = _Tally(tally.level)
                self._named += name not in _TOGETHER.values()


def _log_tally(name: str, tally: _Tally, when: str) -> None:
    level = logging.WARNING if tally.bans else tally.level
    _log.log(level, "limit or ban: %s, %s refused, %s new bans, %s", name, tally.refused, tally.bans, when)
