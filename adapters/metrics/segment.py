"""A table of numbers in memory that processes share: one writes, all read, and it outlives its writer.

It is an anonymous file (`memfd_create(2)`) whose descriptor the processes inherit: there is no path to
remove, to fill, or to leave behind. A process that takes over a dead one's table goes on where that one
ended, so counts never fall; gauges of the dead one alone are no longer shown.

A table is a header, then records that are never moved or removed:

    header   version u64 | bytes used u64 | generation u64 | writer's process id u64
    record   bytes of the key u32 | 0 u32 | generation u64 | value f64 | stamp f64 | key, filled up to 8 bytes

A record is written before the bytes used say that it is there, so a writer killed meanwhile leaves no half
of one. Each number is aligned, and written at once.
"""

from __future__ import annotations

import json
import logging
import mmap
import os
import threading
from collections.abc import Iterator
from struct import Struct
from typing import Final, NamedTuple

SEGMENT_BYTES: Final = 16 << 20
"""Of address space, for some hundred thousand series; memory is taken only for what is used."""
_ALIGNED: Final = 8
VERSION: Final = 1
"""Of the layout: a worker of another release may have been started meanwhile."""
_HEADER: Final = Struct("=QQQQ")
_RECORD: Final = Struct("=IIQdd")
_LENGTH: Final = Struct("=I")
_NUMBER: Final = Struct("=Q")
_VALUE: Final = Struct("=d")
_USED_AT, _GENERATION_AT, _WRITER_AT = 8, 16, 24
_RECORD_GENERATION_AT, _VALUE_AT, _STAMP_AT = 8, 16, 24
_LASTING: Final = 0
"""The generation of what happened: it stays true of a process that is dead."""
_NOBODYS: Final = (1 << 64) - 1
"""That of a record which is not written yet."""

Key = tuple[str, ...]

_log = logging.getLogger("credit.metrics")


class Reading(NamedTuple):
    """One record as it stands; `stamp` was written with it."""

    key: Key
    value: float
    stamp: float


class Place:
    """Where one number is written."""

    __slots__ = ("_at", "_generation", "_lock", "_memory", "_value")

    def __init__(
        self, memory: mmap.mmap | bytearray, at: int, generation: int, value: float, lock: threading.Lock
    ) -> None:
        self._memory = memory
        self._at = at
        self._generation = generation
        self._value = value
        self._lock = lock

    def add(self, amount: float) -> None:
        with self._lock:
            self._write(self._value + amount, 0.0)

    def put(self, value: float, stamp: float = 0.0) -> None:
        with self._lock:
            self._write(value, stamp)

    def _write(self, value: float, stamp: float) -> None:
        self._value = value
        memory, at = self._memory, self._at
        memory[at + _VALUE_AT : at + _VALUE_AT + 8] = _VALUE.pack(value)
        if self._generation != _LASTING:
            memory[at + _STAMP_AT : at + _STAMP_AT + 8] = _VALUE.pack(stamp)
            # Last: until then the record shows nothing of this process.
            at += _RECORD_GENERATION_AT
            memory[at : at + 8] = _NUMBER.pack(self._generation)


class Segment:
    """One process's table, seen by any. Raises `OSError` or `ValueError` when it is something else."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._memory = mmap.mmap(descriptor, SEGMENT_BYTES)
        self._lock = threading.Lock()
        self._positions: dict[Key, int] = {}
        self._read_to = _HEADER.size
        self._is_full = False
        if self._number(0) not in (0, VERSION):
            raise ValueError(f"a table of metrics in the layout {self._number(0)}")

    @classmethod
    def make(cls, name: str) -> Segment:
        """A new one, empty. `name` is shown among the descriptors of a process."""
        descriptor = os.memfd_create(name, os.MFD_CLOEXEC)
        os.ftruncate(descriptor, SEGMENT_BYTES)
        made = cls(descriptor)
        made._memory[: _HEADER.size] = _HEADER.pack(VERSION, _HEADER.size, _LASTING + 1, 0)
        return made

    @property
    def writer(self) -> int:
        """The writing process's id; 0 when there is none."""
        return self._number(_WRITER_AT)

    def take_over(self, process_id: int) -> None:
        """This process writes from now on. Of an earlier one only lasting numbers are kept."""
        self.forget_writer()
        self._put(_WRITER_AT, process_id)

    def forget_writer(self) -> None:
        """The writer is gone: its numbers that do not last are not shown any more."""
        self._put(_WRITER_AT, 0)
        self._put(_GENERATION_AT, self._number(_GENERATION_AT) + 1)

    def place(self, key: Key, *, lasting: bool) -> Place:
        """For the writer: where this number goes. A lasting one goes on from the writer before."""
        with self._lock:
            self._learn()
            generation = _LASTING if lasting else self._number(_GENERATION_AT)
            at = self._positions.get(key)
            if at is None:
                at = self._append(key, _LASTING if lasting else _NOBODYS)
            if at is None:
                return Place(bytearray(_RECORD.size), 0, generation, 0.0, self._lock)
            value = _VALUE.unpack_from(self._memory, at + _VALUE_AT)[0] if lasting else 0.0
            return Place(self._memory, at, generation, value, self._lock)

    def readings(self) -> Iterator[Reading]:
        """The lasting numbers, and the writer's other ones."""
        with self._lock:
            self._learn()
            known = list(self._positions.items())
        current = self._number(_GENERATION_AT)
        for key, at in known:
            _, _, generation, value, stamp = _RECORD.unpack_from(self._memory, at)
            if generation in (_LASTING, current):
                yield Reading(key, value, stamp)

    def _append(self, key: Key, generation: int) -> int | None:
        """None when there is no room: then the number is counted and not shown."""
        encoded = json.dumps(key).encode()
        at = self._number(_USED_AT)
        end = _end_of(at, len(encoded))
        if end > SEGMENT_BYTES:
            if not self._is_full:
                _log.error("there is no room for further metrics: %s and others are not shown", key[0])
            self._is_full = True
            return None
        start = at + _RECORD.size
        self._memory[at:start] = _RECORD.pack(len(encoded), 0, generation, 0.0, 0.0)
        self._memory[start : start + len(encoded)] = encoded
        self._put(_USED_AT, end)
        self._positions[key] = at
        self._read_to = end
        return at

    def _learn(self) -> None:
        """Where the records are that were added since."""
        used = self._number(_USED_AT)
        while self._read_to < used:
            at = self._read_to
            start = at + _RECORD.size
            length = _LENGTH.unpack_from(self._memory, at)[0]
            self._positions[tuple(json.loads(self._memory[start : start + length]))] = at
            self._read_to = _end_of(at, length)

    def _number(self, at: int) -> int:
        found: int = _NUMBER.unpack_from(self._memory, at)[0]
        return found

    def _put(self, at: int, number: int) -> None:
        self._memory[at : at + 8] = _NUMBER.pack(number)


def _end_of(at: int, key_bytes: int) -> int:
    """Where the record after this one begins."""
    return at + _RECORD.size + -(-key_bytes // _ALIGNED) * _ALIGNED
