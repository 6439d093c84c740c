"""The protocol machine: whole, hostile and random frames, and what time does to a connection."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.realtime.bucket import BucketPolicy
from domain.realtime.events import (
    Authenticate,
    Close,
    CloseCode,
    Granted,
    Output,
    Reauthenticate,
    Refusal,
    Send,
    Verdict,
    Welcome,
)
from domain.realtime.frames import DEPTH_MAX, FRAME_BYTES_MAX, ID_LENGTH_MAX, ID_MAGNITUDE_MAX
from domain.realtime.protocol import (
    TRANSITIONS,
    ConnectionMachine,
    Outputs,
    ProtocolLimits,
    State,
)

LIMITS = ProtocolLimits()
ALICE = Granted("usr_alice", "ses_1", 60_000)
CONNECT = '{"id":1,"type":"connect","token":"t"}'


def fresh(limits: ProtocolLimits = LIMITS) -> ConnectionMachine:
    return ConnectionMachine(limits, 0)


def connected(limits: ProtocolLimits = LIMITS) -> ConnectionMachine:
    machine = fresh(limits)
    machine.receive(CONNECT, 0)
    machine.answer(ALICE, 0)
    return machine


def closed_with(outputs: Outputs) -> CloseCode:
    (output,) = outputs
    assert isinstance(output, Close)
    assert len(output.reason.encode()) <= 123, "RFC 6455, 5.5: a control frame carries at most 125 bytes"
    return output.code


def reply(outputs: Outputs) -> dict[str, Any]:
    (output,) = outputs
    assert isinstance(output, Send | Welcome)
    decoded: dict[str, Any] = json.loads(output.text)
    return decoded


# --- connect


def test_a_good_token_is_answered_with_who_the_client_is() -> None:
    machine = fresh()
    assert machine.receive(CONNECT, 0) == (Authenticate("t"),)
    outputs = machine.answer(ALICE, 5)
    assert isinstance(outputs[0], Welcome)
    assert reply(outputs) == {
        "id": 1,
        "type": "connected",
        "session": "ses_1",
        "user": "usr_alice",
        "ping_interval": 25,
        "expires_in": 60,
    }
    assert machine.state is State.CONNECTED


def test_a_client_that_stays_silent_is_closed_4408_at_its_deadline_and_not_before() -> None:
    machine = fresh()
    assert machine.deadline_ms == LIMITS.connect_timeout_ms_max
    assert machine.tick(LIMITS.connect_timeout_ms_max - 1) == ()
    assert closed_with(machine.tick(LIMITS.connect_timeout_ms_max)) is CloseCode.TOO_LATE


def test_a_connect_after_the_deadline_is_too_late_even_when_nobody_ticked() -> None:
    assert closed_with(fresh().receive(CONNECT, LIMITS.connect_timeout_ms_max)) is CloseCode.TOO_LATE


@pytest.mark.parametrize(
    "frame",
    [
        '{"id":1,"type":"ping"}',
        '{"id":1,"type":"join","room":"r"}',
        '{"id":1,"type":"connect"}',
        '{"id":1,"type":"connect","token":""}',
        '{"id":1,"type":"connect","token":7}',
        '{"id":1,"type":"connect","token":"\\u00e9"}',
        '{"id":1,"type":"connect","token":"a\\nb"}',
        '{"id":1,"type":"connect","token":"' + "t" * 8_193 + '"}',
        '{"type":"connect","token":"t"}',
    ],
)
def test_a_first_frame_other_than_a_connect_with_a_token_is_closed_4400(frame: str) -> None:
    assert closed_with(fresh().receive(frame, 0)) is CloseCode.PROTOCOL_ERROR


@pytest.mark.parametrize(
    ("verdict", "code"),
    [
        (Refusal.NOT_AUTHENTICATED, CloseCode.NOT_AUTHENTICATED),
        (Granted("usr_alice", "ses_1", 0), CloseCode.NOT_AUTHENTICATED),
        (Granted("usr_alice", "ses_1", -1), CloseCode.NOT_AUTHENTICATED),
        (Refusal.UNAVAILABLE, CloseCode.FAULT),
    ],
)
def test_a_connect_without_an_identity_is_closed(verdict: Verdict, code: CloseCode) -> None:
    machine = fresh()
    machine.receive(CONNECT, 0)
    assert closed_with(machine.answer(verdict, 0)) is code


def test_a_second_connect_is_an_error_and_the_connection_stays() -> None:
    machine = connected()
    assert reply(machine.receive('{"id":"b","type":"connect","token":"t"}', 1)) == {
        "id": "b",
        "type": "error",
        "code": "invalid",
        "detail": "connected already",
    }
    assert machine.state is State.CONNECTED


def test_frames_sent_behind_a_connect_are_answered_after_it_in_order() -> None:
    machine = fresh()
    machine.receive(CONNECT, 0)
    assert machine.receive('{"id":2,"type":"ping"}', 0) == ()
    assert machine.receive('{"id":3,"type":"dance"}', 0) == ()
    ids = [
        json.loads(output.text)["id"]
        for output in machine.answer(ALICE, 0)
        if isinstance(output, Send | Welcome)
    ]
    assert ids == [1, 2, 3]


def test_more_frames_behind_a_connect_than_may_wait_are_closed_4429() -> None:
    machine = fresh()
    machine.receive(CONNECT, 0)
    for _ in range(LIMITS.frames_waiting_max):
        assert machine.receive('{"id":2,"type":"ping"}', 0) == ()
    assert closed_with(machine.receive('{"id":2,"type":"ping"}', 0)) is CloseCode.OVER_LIMIT


def test_more_bytes_behind_a_connect_than_may_wait_are_closed_4429() -> None:
    machine = fresh()
    machine.receive(CONNECT, 0)
    assert machine.receive("x" * (LIMITS.bytes_waiting_max - 10), 0) == ()
    assert closed_with(machine.receive("x" * 11, 0)) is CloseCode.OVER_LIMIT


# --- commands


def test_a_ping_is_answered_ok() -> None:
    assert reply(connected().receive('{"id":2,"type":"ping"}', 0)) == {"id": 2, "type": "ok"}


@pytest.mark.parametrize("type", ['"join"', '"publish"', '"event"', "null", "3", "[]", '""'])
def test_an_unknown_command_is_invalid_and_the_connection_stays(type: str) -> None:
    machine = connected()
    answer = reply(machine.receive('{"id":2,"type":' + type + "}", 0))
    assert (answer["id"], answer["type"], answer["code"]) == (2, "error", "invalid")
    assert machine.state is State.CONNECTED


@pytest.mark.parametrize("id", [0, -1, ID_MAGNITUDE_MAX, -ID_MAGNITUDE_MAX, "a", "é", "x" * ID_LENGTH_MAX])
def test_an_id_comes_back_as_it_was_sent(id: int | str) -> None:
    assert reply(connected().receive(json.dumps({"id": id, "type": "ping"}), 0))["id"] == id


@pytest.mark.parametrize(
    "frame",
    [
        "",
        "{",
        "nonsense",
        "[]",
        "null",
        '"text"',
        "17",
        "{}",
        '{"type":"ping"}',
        '{"id":null,"type":"ping"}',
        '{"id":true,"type":"ping"}',
        '{"id":1.0,"type":"ping"}',
        '{"id":[1],"type":"ping"}',
        '{"id":"","type":"ping"}',
        '{"id":"a\\u0000","type":"ping"}',
        '{"id":"\\ud800","type":"ping"}',
        json.dumps({"id": "x" * (ID_LENGTH_MAX + 1), "type": "ping"}),
        json.dumps({"id": ID_MAGNITUDE_MAX + 1, "type": "ping"}),
        '{"id":1,"id":1,"type":"ping"}',
        '{"id":1,"type":"ping","data":{"a":1,"a":2}}',
        '{"id":1,"type":"ping","data":NaN}',
        '{"id":1,"type":"ping","data":-Infinity}',
        '{"id":1,"type":"ping"} {}',
        '{"id":' + "9" * 5_000 + ',"type":"ping"}',
        '{"id":1,"type":"ping","data":' + "[" * DEPTH_MAX + "]" * DEPTH_MAX + "}",
        "[" * 60_000,
        '{"a":' * 10_000 + "1" + "}" * 10_000,
        b"",
        b'{"id":1,"type":"ping"}',
    ],
)
def test_a_malformed_frame_is_closed_4400(frame: str | bytes) -> None:
    machine = connected()
    assert closed_with(machine.receive(frame, 0)) is CloseCode.PROTOCOL_ERROR
    assert machine.receive('{"id":2,"type":"ping"}', 0) == ()


def test_nesting_up_to_the_bound_and_brackets_in_text_are_fine() -> None:
    deep = "[" * (DEPTH_MAX - 1) + "]" * (DEPTH_MAX - 1)
    brackets = json.dumps("[{" * 500)
    frame = '{"id":1,"type":"ping","data":' + deep + ',"text":' + brackets + "}"
    assert reply(connected().receive(frame, 0))["type"] == "ok"


def test_a_frame_of_exactly_the_limit_passes_and_one_more_byte_is_closed_1009() -> None:
    frame = '{"id":1,"type":"ping","x":"' + "é" * ((FRAME_BYTES_MAX - 30) // 2)
    frame += "y" * (FRAME_BYTES_MAX - len(frame.encode()) - 2) + '"}'
    assert len(frame.encode()) == FRAME_BYTES_MAX
    assert reply(connected().receive(frame, 0))["type"] == "ok"
    assert closed_with(connected().receive(frame + " ", 0)) is CloseCode.TOO_BIG


def test_more_commands_than_the_bucket_holds_are_closed_4429() -> None:
    machine = connected(ProtocolLimits(commands=BucketPolicy(rate_per_s=10, burst=3)))
    for _ in range(2):  # the connect took the first of three
        assert reply(machine.receive('{"id":2,"type":"ping"}', 0))["type"] == "ok"
    assert reply(machine.receive('{"id":2,"type":"ping"}', 100))["type"] == "ok"
    assert closed_with(machine.receive('{"id":2,"type":"ping"}', 199)) is CloseCode.OVER_LIMIT


# --- identity


def test_an_identity_that_expires_without_a_refresh_is_closed_4401() -> None:
    machine = connected()
    assert machine.deadline_ms == ALICE.lifetime_ms
    assert machine.tick(ALICE.lifetime_ms - 1) == ()
    assert closed_with(machine.tick(ALICE.lifetime_ms)) is CloseCode.NOT_AUTHENTICATED


def test_an_expired_connection_carries_out_nothing_even_when_nobody_ticked() -> None:
    assert closed_with(connected().receive('{"id":2,"type":"ping"}', 60_000)) is CloseCode.NOT_AUTHENTICATED


def test_a_refresh_prolongs_the_connection() -> None:
    machine = connected()
    assert machine.receive('{"id":2,"type":"refresh","token":"u"}', 59_999) == (Reauthenticate("u"),)
    assert machine.deadline_ms is None, "a refresh that came in time may take its time"
    assert reply(machine.answer(Granted("usr_alice", "ses_1", 30_000), 61_000)) == {
        "id": 2,
        "type": "ok",
        "expires_in": 30,
    }
    assert machine.deadline_ms == 91_000


def test_a_refresh_with_another_users_token_is_forbidden_and_changes_nothing() -> None:
    machine = connected()
    machine.receive('{"id":2,"type":"refresh","token":"u"}', 0)
    answer = reply(machine.answer(Granted("usr_bob", "ses_2", 999_999), 0))
    assert (answer["type"], answer["code"]) == ("error", "forbidden")
    assert machine.deadline_ms == ALICE.lifetime_ms


def test_a_refresh_with_a_bad_token_is_closed_4401() -> None:
    machine = connected()
    machine.receive('{"id":2,"type":"refresh","token":"u"}', 0)
    assert closed_with(machine.answer(Refusal.NOT_AUTHENTICATED, 0)) is CloseCode.NOT_AUTHENTICATED


def test_a_refresh_that_nobody_can_check_now_may_be_tried_again() -> None:
    machine = connected()
    machine.receive('{"id":2,"type":"refresh","token":"u"}', 0)
    assert reply(machine.answer(Refusal.UNAVAILABLE, 0))["code"] == "dependency_unavailable"
    assert machine.receive('{"id":3,"type":"refresh","token":"u"}', 0) == (Reauthenticate("u"),)


def test_a_refresh_without_a_token_is_invalid() -> None:
    assert reply(connected().receive('{"id":2,"type":"refresh"}', 0))["code"] == "invalid"


# --- the machine as a whole


def test_closed_is_final_and_reachable_from_every_state() -> None:
    assert not TRANSITIONS[State.CLOSED]
    assert set(TRANSITIONS) == set(State)
    for state, steps in TRANSITIONS.items():
        assert state is State.CLOSED or State.CLOSED in steps.values()


def test_a_verdict_that_nobody_awaits_is_a_bug_of_the_caller() -> None:
    with pytest.raises(RuntimeError):
        connected().answer(ALICE, 0)


def test_a_verdict_for_a_connection_that_was_closed_meanwhile_says_nothing() -> None:
    machine = fresh()
    machine.receive(CONNECT, 0)
    machine.lost()
    assert machine.answer(ALICE, 0) == ()


command_ids = st.integers(-5, 5) | st.sampled_from(["a", "b"])
commands = st.fixed_dictionaries(
    {"id": command_ids, "type": st.sampled_from(["connect", "ping", "refresh", "join", ""])},
    optional={"token": st.text(max_size=3) | st.just("t")},
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
texts = (
    commands.map(json.dumps)
    | json_values.map(json.dumps)
    | st.text(max_size=40)
    | commands.map(json.dumps).flatmap(lambda text: st.integers(0, len(text)).map(lambda n: text[:n]))
)
verdicts = st.sampled_from([ALICE, Granted("usr_bob", "ses_2", 10_000), *Refusal])
happenings = st.lists(
    texts | st.binary(max_size=20) | st.integers(0, 4_000) | verdicts | st.just(CloseCode.RESTARTING),
    max_size=40,
)


def awaits_a_verdict(machine: ConnectionMachine) -> bool:
    return machine.state in {State.AUTHENTICATING, State.REFRESHING}


@given(happenings)
def test_whatever_comes_is_answered_at_most_once_a_command_and_never_after_a_close(
    happenings: list[str | bytes | int | Verdict | CloseCode],
) -> None:
    machine, now_ms = fresh(), 0
    outputs: list[Output] = []
    asked: Counter[str] = Counter()
    for happening in happenings:
        if isinstance(happening, CloseCode):
            outputs += machine.end(happening, "")
        elif isinstance(happening, int):
            now_ms += happening
            outputs += machine.tick(now_ms)
        elif isinstance(happening, Granted | Refusal):
            if awaits_a_verdict(machine):
                outputs += machine.answer(happening, now_ms)
        else:
            asked.update(ids_in(happening))
            outputs += machine.receive(happening, now_ms)
    assert all(not isinstance(output, Close) for output in outputs[:-1])
    assert (machine.state is State.CLOSED) == (bool(outputs) and isinstance(outputs[-1], Close))
    replied = [output for output in outputs if isinstance(output, Send | Welcome)]
    assert all(isinstance(output, Send) for output in replied[1:])
    assert not replied or isinstance(replied[0], Welcome)
    answers = Counter(json.dumps(json.loads(output.text)["id"]) for output in replied)
    assert answers <= asked


def ids_in(frame: str | bytes) -> list[str]:
    try:
        return [json.dumps(json.loads(frame)["id"])]
    except (ValueError, TypeError, KeyError):
        return []


@given(st.lists(commands.map(json.dumps), max_size=12))
def test_a_connected_client_gets_exactly_one_reply_a_command_in_order(frames: list[str]) -> None:
    machine = connected()
    outputs: list[Output] = []
    for frame in frames:
        outputs += machine.receive(frame, 0)
        if awaits_a_verdict(machine):
            outputs += machine.answer(ALICE, 0)
    replied = [json.loads(output.text)["id"] for output in outputs if isinstance(output, Send)]
    assert replied == [json.loads(frame)["id"] for frame in frames]
