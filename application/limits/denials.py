"""The banned, as this process remembers them: they are refused without asking the limiter again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from domain.limits.admission import Admission, Verdict
from domain.limits.identifiers import Identifier
from ports.runtime import Runtime

DENIED_AGE_S_MAX = 5.0
"""How long a ban that was lifted elsewhere may go on here."""
DENIED_MAX = 10_000
_MARGIN_MS = 1
"""What is left of a ban is rounded up: a client that waits as told must not come too early."""

Identifiers = tuple[Identifier, ...]


class Moment(NamedTuple):
    """When the limiter was asked: its answer is as old as that."""

    at_s: float
    forgotten: int


@dataclass(frozen=True, slots=True)
class _Denial:
    identifier: Identifier
    until_s: float
    ban_until_s: float


class Denials:
    """Refusals by all the identifiers that were asked about: another combination may hold a longer ban."""

    def __init__(self, runtime: Runtime) -> None:
        self._monotonic = runtime.monotonic
        self._denied: dict[Identifiers, _Denial] = {}
        self._forgotten = 0

    def __len__(self) -> int:
        return len(self._denied)

    def moment(self) -> Moment:
        """To be taken before the limiter is asked."""
        return Moment(self._monotonic(), self._forgotten)

    def find(self, identifiers: Identifiers) -> Admission | None:
        """The refusal in force, with what is left of the ban."""
        denial = self._denied.get(identifiers)
        if denial is None:
            return None
        now_s = self._monotonic()
        if now_s >= denial.until_s:
            del self._denied[identifiers]
            return None
        left_ms = int((denial.ban_until_s - now_s) * 1000) + _MARGIN_MS
        return Admission(Verdict.BANNED, left_ms, denial.identifier)

    def remember(self, identifiers: Identifiers, admission: Admission, asked: Moment) -> None:
        """Nothing but a ban, and none that may have been lifted since it was asked for."""
        if admission.verdict is not Verdict.BANNED or admission.identifier is None:
            return
        if asked.forgotten != self._forgotten:
            return
        ban_until_s = self._monotonic() + admission.retry_after_ms / 1000
        self._denied.pop(identifiers, None)
        if len(self._denied) >= DENIED_MAX:
            del self._denied[next(iter(self._denied))]
        until_s = min(ban_until_s, asked.at_s + DENIED_AGE_S_MAX)
        self._denied[identifiers] = _Denial(admission.identifier, until_s, ban_until_s)

    def forget(self) -> None:
        """A ban was lifted here: everybody is asked about once more."""
        self._forgotten += 1
        self._denied.clear()
