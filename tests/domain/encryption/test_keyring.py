"""A ring of keys that is rotated while processes write and read by it, some of them late to notice."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from domain.encryption.keyring import (
    KEYS_MAX,
    WRITE_DELAY_MS,
    RetirementRefusal,
    Ring,
    RingKey,
    RotationRefusal,
    changes_at_ms,
    reading_keys,
    retired,
    ring_problem,
    rotated,
    writing_key,
)

LIFETIME_MS = 300_000
START_MS = 1_000_000


class Rotations(RuleBasedStateMachine):
    """Two processes on one ring: one sees each rotation at once, one just before the new key writes.

    The oracle is a list of what was written, by which key and when.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now_ms = START_MS
        self.made = 1
        self.ring: Ring = (RingKey("key 1"),)
        self.late: Ring = self.ring
        self.written: list[tuple[str, int]] = []

    @rule(ms=st.integers(1, LIFETIME_MS))
    def wait(self, ms: int) -> None:
        self.now_ms += ms
        if self.now_ms >= self.ring[-1].writes_from_ms:
            self.late = self.ring

    @rule()
    def rotate(self) -> None:
        new = RingKey(f"key {self.made + 1}", self.now_ms + WRITE_DELAY_MS)
        ring = rotated(self.ring, new, self.now_ms, lifetime_ms=LIFETIME_MS)
        if isinstance(ring, RotationRefusal):
            assert ring is RotationRefusal.FULL
            assert len(reading_keys(self.ring, self.now_ms, lifetime_ms=LIFETIME_MS)) == KEYS_MAX
            return
        assert ring_problem(ring) is None
        self.made += 1
        if self.late != self.ring:
            # A look every few seconds: nobody is two rotations behind for a minute.
            self.late = self.ring
        self.ring = ring

    @rule(by_late=st.booleans())
    def write(self, by_late: bool) -> None:
        key = writing_key(self.late if by_late else self.ring, self.now_ms)
        self.written.append((key.secret, self.now_ms))

    @precondition(lambda self: self.made > 1)
    @rule()
    def forget_what_is_dead(self) -> None:
        self.written = [each for each in self.written if self.now_ms < each[1] + LIFETIME_MS]

    @invariant()
    def everything_that_lives_is_read_by_everybody(self) -> None:
        alive = {secret for secret, at_ms in self.written if self.now_ms < at_ms + LIFETIME_MS}
        for ring in (self.ring, self.late):
            read = {key.secret for key in reading_keys(ring, self.now_ms, lifetime_ms=LIFETIME_MS)}
            assert alive <= read

    @invariant()
    def the_writing_key_reads_first_and_none_reads_twice(self) -> None:
        keys = reading_keys(self.ring, self.now_ms, lifetime_ms=LIFETIME_MS)
        assert keys[0] == writing_key(self.ring, self.now_ms)
        assert len(set(keys)) == len(keys) <= KEYS_MAX

    @invariant()
    def nothing_changes_before_it_is_said_to(self) -> None:
        at_ms = changes_at_ms(self.ring, self.now_ms, lifetimes_ms=(LIFETIME_MS,))
        until_ms = at_ms - 1 if at_ms is not None else self.now_ms + 100 * LIFETIME_MS
        now = reading_keys(self.ring, self.now_ms, lifetime_ms=LIFETIME_MS)
        assert now == reading_keys(self.ring, until_ms, lifetime_ms=LIFETIME_MS)
        if at_ms is None:
            assert len(now) == 1


TestRotations = Rotations.TestCase


def test_a_key_writes_no_earlier_than_it_was_told_to() -> None:
    ring = (RingKey("a"), RingKey("b", 100))
    assert [writing_key(ring, at).secret for at in (0, 99, 100, 101)] == ["a", "a", "b", "b"]
    assert writing_key((RingKey("later", 100),), 0).secret == "later"


def test_an_old_key_reads_until_the_last_that_it_wrote_is_dead() -> None:
    ring = (RingKey("a"), RingKey("b", 100))
    assert len(reading_keys(ring, 100 + LIFETIME_MS - 1, lifetime_ms=LIFETIME_MS)) == 2
    assert reading_keys(ring, 100 + LIFETIME_MS, lifetime_ms=LIFETIME_MS) == (ring[1],)
    assert rotated(ring, RingKey("c", 10**9), 100 + LIFETIME_MS, lifetime_ms=LIFETIME_MS) == (
        ring[1],
        RingKey("c", 10**9),
    )


def test_keys_begin_in_the_order_in_which_they_are_added() -> None:
    ring = (RingKey("a"), RingKey("b", 100))
    assert rotated(ring, RingKey("c", 99), 0, lifetime_ms=1) is RotationRefusal.EARLIER_THAN_LAST
    assert rotated(ring, RingKey("c", 100), 0, lifetime_ms=1) == (*ring, RingKey("c", 100))


@pytest.mark.parametrize(
    "ring",
    [(), (RingKey("a"), RingKey("a", 5)), (RingKey("a", 5), RingKey("b", 4)), (RingKey("a", -1),),
     tuple(RingKey(str(number)) for number in range(KEYS_MAX + 1))],
)  # fmt: skip
def test_a_ring_of_another_shape_is_a_problem(ring: Ring) -> None:
    assert ring_problem(ring) is not None


def test_a_key_does_not_show_itself() -> None:
    assert "hidden" not in repr(RingKey("hidden"))


def test_a_ring_of_what_is_kept_for_ever_loses_no_key() -> None:
    ring: Ring = (RingKey("one"), RingKey("two", 1))
    new = RingKey("three", 2)
    assert rotated(ring, new, 10**15, lifetime_ms=None) == (*ring, new)
    full = tuple(RingKey(str(number)) for number in range(KEYS_MAX))
    assert rotated(full, new, 10**15, lifetime_ms=None) is RotationRefusal.FULL


def test_a_key_is_in_a_ring_once() -> None:
    again = RingKey("one", 5, "a salt")
    assert rotated((RingKey("one"),), again, 0, lifetime_ms=None) is RotationRefusal.PRESENT


@pytest.mark.parametrize(
    ("now_ms", "stays"),
    [(0, "abc"), (WRITE_DELAY_MS, "abc"), (2 * WRITE_DELAY_MS - 1, "abc"), (2 * WRITE_DELAY_MS, "bc"),
     (3 * WRITE_DELAY_MS, "bc"), (4 * WRITE_DELAY_MS, "c")],
)  # fmt: skip
def test_a_key_may_go_a_minute_after_its_successor_began_to_write(now_ms: int, stays: str) -> None:
    ring: Ring = (RingKey("a"), RingKey("b", WRITE_DELAY_MS), RingKey("c", 3 * WRITE_DELAY_MS))
    for key in ring:
        kept = retired(ring, key, now_ms)
        if key.secret in stays:
            assert kept is RetirementRefusal.WRITES
        else:
            assert kept == tuple(other for other in ring if other is not key)
    assert retired(ring, None, now_ms) is RetirementRefusal.UNKNOWN
