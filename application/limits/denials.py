"""Denials: bans that this process remembers, and enforces without asking the limiter again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from domain.limits.admission import Admission, Verdict
from domain.limits.identifiers import Identifier
from ports.runtime import Runtime

DENIAL_AGE_S_MAX = 5.0
"""How long this process may enforce a ban that another one has lifted."""
DENIALS_MAX = 10_000
_MARGIN_MS = 1
"""The rest of a ban is rounded up, so that a client that waits for it does not return too early."""

Identifiers = tuple[Identifier, ...]


class AskedAt(NamedTuple):
    """When the limiter was asked. Its answer is as old."""

    at_s: float
    forgets: int
    """How often denials had been forgotten by then."""


@dataclass(frozen=True, slots=True)
class _Denial:
    identifier: Identifier
    until_s: float
    ban_until_s: float


class Denials:
    """Denials by all identifiers of a request: another combination may have a ban that ends later."""

    def __init__(self, runtime: Runtime) -> None:
        self._monotonic = runtime.monotonic
        self._denials: dict[Identifiers, _Denial] = {}
        self._forgets = 0

    def __len__(self) -> int:
        return len(self._denials)

    def now(self) -> AskedAt:
        """The present moment, to be taken before the limiter is asked."""
        return AskedAt(self._monotonic(), self._forgets)

    def find(self, identifiers: Identifiers) -> Admission | None:
        """The denial of these identifiers that is in force, with the rest of its ban; None without one."""
        denial = self._denials.get(identifiers)
        if denial is None:
            return None
        now_s = self._monotonic()
        if now_s >= denial.until_s:
            del self._denials[identifiers]
            return None
        left_ms = int((denial.ban_until_s - now_s) * 1000) + _MARGIN_MS
        return Admission(Verdict.BANNED, left_ms, denial.identifier)

    def remember(self, identifiers: Identifiers, admission: Admission, asked: AskedAt) -> None:
        """Remembers an admission that is a ban, unless denials were forgotten since the limiter was asked."""
        if admission.verdict is not Verdict.BANNED or admission.identifier is None:
            return
        if asked.forgets != self._forgets:
            return
        ban_until_s = self._monotonic() + admission.retry_after_ms / 1000
        self._denials.pop(identifiers, None)
        if len(self._denials) >= DENIALS_MAX:
            del self._denials[next(iter(self._denials))]
        until_s = min(ban_until_s, asked.at_s + DENIAL_AGE_S_MAX)
        self._denials[identifiers] = _Denial(admission.identifier, until_s, ban_until_s)

    def forget(self) -> None:
        """Forgets every denial, after this process has lifted a ban."""
        self._forgets += 1
        self._denials.clear()
