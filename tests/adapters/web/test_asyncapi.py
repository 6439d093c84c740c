"""The AsyncAPI document says what is spoken: every frame of the machine is held to it."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest
from jsonschema import Draft7Validator, Draft202012Validator  # type: ignore[import-untyped]

import domain.realtime.messages
from adapters.web.api_documents.asyncapi import PUSHES, REPLIES, asyncapi_document
from composition.commands.api_documents import print_asyncapi
from domain.realtime.events import Close, CloseCode, Granted, Output, Refusal, Send, Welcome
from domain.realtime.messages import BalancePush, DirectPush, LowBalancePush, Push
from domain.realtime.protocol import ConnectionMachine, ProtocolLimits
from ports.runtime import Runtime
from tests.adapters.web.schemas import references
from tests.adapters.web.service import open_service
from tests.conformance.runtimes import Driver, run_real
from tests.ground.sources import PROJECT

__all__ = ["run_real"]

DOCUMENT = asyncapi_document(title="Credit System", version="1")
GRANTED = Granted("usr_1", "ses_1", 60_000)


def validate(message: str, frame: dict[str, Any]) -> None:
    """Against the payload of this message, and without a field more."""
    reference = DOCUMENT["components"]["messages"][message]["payload"]["$ref"]
    name = reference.removeprefix("#/components/schemas/")
    schema = {**DOCUMENT["components"]["schemas"][name], "components": DOCUMENT["components"]}
    Draft202012Validator({**schema, "additionalProperties": False}).validate(frame)


def frames(outputs: tuple[Output, ...]) -> list[dict[str, Any]]:
    assert all(isinstance(output, Welcome | Send) for output in outputs), outputs
    return [json.loads(output.text) for output in outputs if isinstance(output, Welcome | Send)]


def test_it_is_asyncapi_3_and_every_reference_leads_somewhere() -> None:
    text = (PROJECT / "tests" / "schemas" / "asyncapi-3.0.json").read_text(encoding="utf-8")
    Draft7Validator(json.loads(text)).validate(DOCUMENT)
    found = set(references(DOCUMENT))
    assert found
    for reference in found:
        place: Any = DOCUMENT
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_the_schema_of_asyncapi_would_find_a_fault() -> None:
    text = (PROJECT / "tests" / "schemas" / "asyncapi-3.0.json").read_text(encoding="utf-8")
    validator = Draft7Validator(json.loads(text))
    assert not validator.is_valid({**DOCUMENT, "asyncapi": "2.0.0"})
    operations = {"ping": {"action": "sometimes", "channel": {"$ref": "#/channels/socket"}}}
    assert not validator.is_valid({**DOCUMENT, "operations": operations})


@pytest.mark.parametrize("command_id", [1, "a", -(2**53 - 1)])
def test_each_command_and_its_replies_are_as_they_are_told(command_id: int | str) -> None:
    machine = ConnectionMachine(ProtocolLimits(), 0)

    def send(command: str, **fields: Any) -> tuple[Output, ...]:
        frame = {"id": command_id, "type": command, **fields}
        validate(command, frame)
        return machine.receive(json.dumps(frame), 0)

    send("connect", token="t")
    (connected,) = frames(machine.answer(GRANTED, 0))
    validate("connected", connected)
    (pong,) = frames(send("ping"))
    validate("ok", pong)
    send("refresh", token="t")
    (refreshed,) = frames(machine.answer(GRANTED, 0))
    validate("ok", refreshed)
    assert refreshed["expires_in"] == 60
    refusals = []
    for verdict in (Refusal.UNAVAILABLE, Granted("usr_2", "ses_2", 60_000)):
        send("refresh", token="t")
        refusals += frames(machine.answer(verdict, 0))
    refusals += frames(machine.receive(json.dumps({"id": command_id, "type": "unheard_of"}), 0))
    for refused in refusals:
        validate("error", refused)
    assert [each["code"] for each in refusals] == ["dependency_unavailable", "forbidden", "invalid"]


def test_what_is_told_to_be_wrong_is_refused() -> None:
    for frame in (
        {"type": "connect", "token": "t"},
        {"id": 1, "type": "connect"},
        {"id": [], "type": "ping"},
    ):
        with pytest.raises(Exception, match=r"required|is not"):
            validate(str(frame["type"]), frame)
        outputs = ConnectionMachine(ProtocolLimits(), 0).receive(json.dumps(frame), 0)
        assert [output.code for output in outputs if isinstance(output, Close)] == [CloseCode.PROTOCOL_ERROR]


def test_each_push_is_as_it_is_told() -> None:
    pushes: dict[str, Push] = {
        "balance": BalancePush("a", 1, 2, 3, 4),
        "low_balance": LowBalancePush("a", 1, 2, 3),
        "direct": DirectPush("e", {"any": [1, None]}, None),
    }
    for name, push in pushes.items():
        validate(name, json.loads(push.encode()))
    validate("direct", json.loads(DirectPush("e", None, "usr_1").encode()))
    known = {
        each
        for _, each in inspect.getmembers(domain.realtime.messages, inspect.isclass)
        if each.__name__ != "Push"
    }
    assert {type(push) for push in pushes.values()} == {each for each in known if hasattr(each, "encode")}
    told = {name for name, each in DOCUMENT["operations"].items() if each["action"] == "send"}
    assert told == set(pushes)
    assert len(PUSHES) == len(told)


def test_every_close_code_is_told_and_every_command_has_its_reply() -> None:
    for code in CloseCode:
        assert f"- {code.value}: " in DOCUMENT["info"]["description"]
    received = {name: each for name, each in DOCUMENT["operations"].items() if each["action"] == "receive"}
    assert set(received) == {"connect", "refresh", "ping"}
    assert len(received) == len(REPLIES)
    assert all(each["reply"]["messages"] for each in received.values())


def test_the_route_and_the_command_give_the_same(
    run_real: Driver, capsys: pytest.CaptureFixture[str]
) -> None:
    assert print_asyncapi() == 0
    printed = json.loads(capsys.readouterr().out)

    async def body(runtime: Runtime) -> None:
        reply = await open_service(runtime).client.request("GET", "/asyncapi.json")
        assert (reply.status, reply.header("content-type")) == (200, "application/json")
        shown = reply.json()
        assert {**shown, "info": None} == {**printed, "info": None}

    run_real(body)
