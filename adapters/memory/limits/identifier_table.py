"""A bounded table of identifiers: their windows and their offences."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from domain.limits.bans import NO_OFFENCES, NO_SUBNET_BANS, OffenceRecord, SubnetBans
from domain.limits.identifiers import Identifier
from domain.limits.windows import WindowState


@dataclass(slots=True)
class Record:
    """One identifier: its windows by `Policy.window`, its offences, and when all of it has expired."""

    windows: dict[str, WindowState] = field(default_factory=dict)
    offences: OffenceRecord = NO_OFFENCES
    reason: str = ""
    """Why the last ban was made."""
    subnet_bans: SubnetBans = NO_SUBNET_BANS
    """Of a network: which of its own were banned."""
    expires_ms: int = 0


class IdentifierTable:
    """At most `identifiers_max` records.

    Who makes room: the expired first, then who was touched longest ago, and the banned only when
    nobody else is left, since forgetting a ban would let its subject in.
    """

    def __init__(self, *, identifiers_max: int) -> None:
        if identifiers_max < 1:
            raise ValueError("identifiers_max must be at least 1")
        self._identifiers_max = identifiers_max
        self._idle: OrderedDict[Identifier, Record] = OrderedDict()
        self._banned: OrderedDict[Identifier, Record] = OrderedDict()
        # Lower bounds of the moments at which a record expires or a ban ends. A record that has moved
        # on since is pushed again when its entry comes up, so a touch costs no heap operation.
        self._expiries: list[tuple[int, int, Identifier]] = []
        self._ban_ends: list[tuple[int, int, Identifier]] = []
        self._pushed = 0

    def __len__(self) -> int:
        return len(self._idle) + len(self._banned)

    def find(self, identifier: Identifier) -> Record | None:
        return self._idle.get(identifier) or self._banned.get(identifier)

    def touch(self, identifier: Identifier, now_ms: int) -> Record:
        """The identifier's record, made if there is none, now the one touched last."""
        for records in (self._idle, self._banned):
            if (record := records.get(identifier)) is not None:
                records.move_to_end(identifier)
                return record
        while len(self) >= self._identifiers_max:
            self._evict(now_ms)
        record = self._idle[identifier] = Record()
        self._push(self._expiries, now_ms, identifier)
        return record

    def judge(self, identifier: Identifier, record: Record, offences: OffenceRecord) -> None:
        """Gives the identifier's record new offences and files it among the banned if it is one."""
        changed = offences.banned_until_ms != record.offences.banned_until_ms
        record.offences = offences
        if changed:
            self._idle.pop(identifier, None)
            self._banned[identifier] = record
            self._push(self._ban_ends, offences.banned_until_ms, identifier)

    def banned(self, now_ms: int) -> Iterator[tuple[Identifier, Record]]:
        """Every identifier with a ban in force."""
        self._release_ended(now_ms)
        yield from self._banned.items()

    def _evict(self, now_ms: int) -> None:
        self._release_ended(now_ms)
        while self._expiries and self._expiries[0][0] <= now_ms:
            _, _, identifier = heapq.heappop(self._expiries)
            record = self._idle.get(identifier)
            if record is None:
                continue
            if record.expires_ms <= now_ms:
                del self._idle[identifier]
                return
            self._push(self._expiries, record.expires_ms, identifier)
        (self._idle or self._banned).popitem(last=False)

    def _release_ended(self, now_ms: int) -> None:
        while self._ban_ends and self._ban_ends[0][0] <= now_ms:
            _, _, identifier = heapq.heappop(self._ban_ends)
            record = self._banned.get(identifier)
            if record is None:
                continue
            if record.offences.banned_until_ms > now_ms:
                self._push(self._ban_ends, record.offences.banned_until_ms, identifier)
                continue
            self._idle[identifier] = self._banned.pop(identifier)
            self._push(self._expiries, record.expires_ms, identifier)

    def _push(self, heap: list[tuple[int, int, Identifier]], moment_ms: int, identifier: Identifier) -> None:
        self._pushed += 1
        heapq.heappush(heap, (moment_ms, self._pushed, identifier))
        if len(heap) > 4 * self._identifiers_max:
            self._compact()

    def _compact(self) -> None:
        """Drops what records gone since left in the heaps; amortised over the pushes before it."""
        self._expiries = [
            (record.expires_ms, number, identifier)
            for number, (identifier, record) in enumerate(self._idle.items())
        ]
        self._ban_ends = [
            (record.offences.banned_until_ms, number, identifier)
            for number, (identifier, record) in enumerate(self._banned.items())
        ]
        heapq.heapify(self._expiries)
        heapq.heapify(self._ban_ends)
        self._pushed = len(self)
