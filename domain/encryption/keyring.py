"""A ring of root keys: one key writes, and former ones read for as long as their writings live.

A key is added some time before it writes, so that every process knows it before any process uses it. A key is
forgotten some time after its successor began to write; nothing marks it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from itertools import pairwise
from typing import TypeAlias

KEYS_MAX = 16
WRITE_DELAY_MS = 60_000
"""Between adding a key and writing with it: time for every process to read the ring."""


@dataclass(frozen=True, slots=True)
class RingKey:
    """A root key. It reads while it is in the ring, and writes from `writes_from_ms` (since the epoch) on."""

    secret: str = field(repr=False)
    writes_from_ms: int = 0
    salt: str | None = None
    """Of a passphrase, which is stretched before it is a root key; None for a secret that is random."""


Ring: TypeAlias = tuple[RingKey, ...]
"""At least one key, in the order in which they begin to write."""


@dataclass(frozen=True, slots=True)
class EncryptionRing:
    """The keys of stored fields, beside the root of everything that no rotation may change.

    `index_root` is random text, never a passphrase: the first root unless the file says otherwise. Blind
    indexes, names in Redis and values sealed outside of fields hang on it.
    """

    index_root: str = field(repr=False)
    keys: Ring


class RotationRefusal(Enum):
    """Why no key can be added, in order of precedence, worded for operators."""

    EARLIER_THAN_LAST = "the key added last does not write yet: wait for it, or let this one begin later"
    PRESENT = "the ring has this key already"
    FULL = f"{KEYS_MAX} keys still read: wait until one of them may go, or forget the old ones"


class RetirementRefusal(Enum):
    """Why no key can leave the ring, in order of precedence, worded for operators."""

    UNKNOWN = "the ring has no such key"
    WRITES = "the key writes, will write, or wrote a minute ago on a host whose clock is late"


def ring_problem(ring: Ring) -> str | None:
    """The problem with a ring from outside, worded for operators; None for a good one."""
    if not 1 <= len(ring) <= KEYS_MAX:
        return f"a ring has 1 to {KEYS_MAX} keys"
    if any(key.writes_from_ms < 0 for key in ring):
        return "a key begins to write at a time since the epoch"
    if any(before.writes_from_ms > after.writes_from_ms for before, after in pairwise(ring)):
        return "the keys of a ring are in the order in which they begin to write"
    if len({key.secret for key in ring}) != len(ring):
        return "the keys of a ring differ"
    return None


def writing_key(ring: Ring, now_ms: int) -> RingKey:
    """The last key that has begun to write; the first key before any has."""
    begun = [key for key in ring if key.writes_from_ms <= now_ms]
    return begun[-1] if begun else ring[0]


def reading_keys(ring: Ring, now_ms: int, *, lifetime_ms: int) -> Ring:
    """The writing key, then every other key that may have to read.

    `lifetime_ms` is the longest life of a key's writings.
    """
    writing = writing_key(ring, now_ms)
    return (writing, *(key for key in _alive(ring, now_ms, lifetime_ms) if key is not writing))


def changes_at_ms(ring: Ring, now_ms: int, *, lifetimes_ms: tuple[int, ...]) -> int | None:
    """When `writing_key` or `reading_keys` will change next; None for never."""
    moments = [key.writes_from_ms + after for key in ring for after in (0, *lifetimes_ms)]
    return min((moment for moment in moments if moment > now_ms), default=None)


def rotated(ring: Ring, new: RingKey, now_ms: int, *, lifetime_ms: int | None) -> Ring | RotationRefusal:
    """The ring with one more key, and without the keys that need not read any more.

    `lifetime_ms` is the longest life of a key's writings; None where they live until they are written anew.
    """
    if new.writes_from_ms < ring[-1].writes_from_ms:
        return RotationRefusal.EARLIER_THAN_LAST
    if any(key.secret == new.secret for key in ring):
        return RotationRefusal.PRESENT
    alive = ring if lifetime_ms is None else _alive(ring, now_ms, lifetime_ms)
    return RotationRefusal.FULL if len(alive) >= KEYS_MAX else (*alive, new)


def retired(ring: Ring, key: RingKey | None, now_ms: int) -> Ring | RetirementRefusal:
    """The ring without a key, which reads no more. A key leaves a minute after its successor began to write,
    and no sooner: a host whose clock is late may write with it until then."""
    if key not in ring:
        return RetirementRefusal.UNKNOWN
    begun = [each for each in ring if each.writes_from_ms + WRITE_DELAY_MS <= now_ms]
    if key not in begun[:-1]:
        return RetirementRefusal.WRITES
    return tuple(each for each in ring if each != key)


def _alive(ring: Ring, now_ms: int, lifetime_ms: int) -> Ring:
    followed = pairwise(ring)
    return (*(key for key, after in followed if now_ms < after.writes_from_ms + lifetime_ms), ring[-1])
