"""What the realtime protocol is made of: bucket, deadlines, outbox, pushes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.realtime.bucket import BucketPolicy, take
from domain.realtime.deadlines import Deadlines
from domain.realtime.events import Close, CloseCode
from domain.realtime.messages import BalancePush, DirectPush
from domain.realtime.outbox import Outbox, OutboxLimits, Put


@given(st.lists(st.integers(0, 3_000), max_size=60), st.integers(1, 20), st.integers(1, 10))
def test_a_bucket_never_gives_more_than_its_burst_and_its_rate(
    gaps: list[int], rate: int, burst: int
) -> None:
    policy, now_ms, taken = BucketPolicy(rate_per_s=rate, burst=burst), 0, 0
    bucket = policy.full(0)
    for gap in gaps:
        now_ms += gap
        after = take(policy, bucket, now_ms)
        if after is not None:
            bucket, taken = after, taken + 1
        assert taken * 1_000 <= burst * 1_000 + rate * now_ms


def test_a_bucket_gains_nothing_from_a_clock_that_runs_back_and_forth() -> None:
    policy = BucketPolicy(rate_per_s=1, burst=1)
    empty = take(policy, policy.full(5_000), 5_000)
    assert empty is not None
    assert take(policy, empty, 4_000) is None
    assert take(policy, empty, 5_999) is None
    assert take(policy, empty, 6_000) is not None


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.none() | st.integers(0, 5_000)) | st.integers(0, 1_000), max_size=50
    )
)
def test_deadlines_come_up_once_never_early_and_at_most_a_grain_late(
    steps: list[tuple[int, int | None] | int],
) -> None:
    deadlines: Deadlines[int] = Deadlines(grain_ms=250)
    model: dict[int, int] = {}
    now_ms = 0
    for step in steps:
        if isinstance(step, int):
            now_ms += step
            due = deadlines.pop_due(now_ms)
            assert len(due) == len(set(due))
            for item in due:
                assert model.pop(item) <= now_ms
            assert all(due_ms > now_ms - 250 for due_ms in model.values())
        else:
            item, due_ms = step
            deadlines.put(item, due_ms)
            model.pop(item, None)
            if due_ms is not None:
                model[item] = due_ms
    assert len(deadlines) == len(model)


def test_an_outbox_takes_no_more_messages_than_its_bound_written_ones_included() -> None:
    outbox = Outbox(OutboxLimits(messages_max=2, bytes_max=100))
    assert outbox.put("a", 1) is Put.QUEUED
    assert outbox.take() == ["a"]
    assert outbox.put("b", 1) is Put.QUEUED
    assert outbox.put("c", 1) is Put.FULL
    assert outbox.take() == ["b"]
    assert outbox.put("c", 1) is Put.QUEUED


def test_an_outbox_takes_no_more_bytes_than_its_bound() -> None:
    outbox = Outbox(OutboxLimits(messages_max=100, bytes_max=10))
    assert outbox.put("a", 6) is Put.QUEUED
    assert outbox.put("b", 5) is Put.FULL
    assert outbox.put("c", 4) is Put.QUEUED
    outbox.take()
    assert outbox.put("d", 1) is Put.FULL


def test_an_outbox_ends_once_and_takes_nothing_after() -> None:
    outbox = Outbox(OutboxLimits())
    outbox.put("a", 1)
    restart, slow = Close(CloseCode.RESTARTING, ""), Close(CloseCode.TOO_SLOW, "")
    assert outbox.end(restart)
    assert not outbox.end(slow)
    assert outbox.closing == restart
    assert outbox.put("b", 1) is Put.ENDED
    outbox.put_first("c", 1)
    assert outbox.take() == ["a"]


def test_a_greeting_goes_ahead_of_what_came_while_it_was_prepared() -> None:
    outbox = Outbox(OutboxLimits())
    outbox.put("push", 4)
    outbox.put_first("hello", 5)
    assert outbox.take() == ["hello", "push"]


def test_a_balance_push_has_the_contracts_shape() -> None:
    assert json.loads(BalancePush("acc", posted=750, held=50, available=700, seq=9).encode()) == {
        "type": "balance",
        "account": "acc",
        "posted": 750,
        "held": 50,
        "available": 700,
        "seq": 9,
    }


def test_a_direct_push_carries_text_as_it_is() -> None:
    push = DirectPush("greet", {"text": "<b>سلام</b>"}, sender="usr_bob").encode()
    assert json.loads(push) == {
        "type": "direct",
        "event": "greet",
        "data": {"text": "<b>سلام</b>"},
        "from": "usr_bob",
    }


@pytest.mark.parametrize("data", [float("nan"), "\ud800"])
def test_a_direct_push_of_what_is_not_json_is_refused(data: object) -> None:
    with pytest.raises(ValueError):
        DirectPush("greet", data).encode()
