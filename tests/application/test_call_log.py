"""Tracing: what a line about a call says, and what it never says."""

from __future__ import annotations

import logging
from enum import Enum
from typing import Any

import pytest

from application.call_log import traced
from application.identity.sessions import LoginRejection
from domain.audit import RequestContext
from ports.request_id import REQUEST_ID
from ports.runtime import Runtime, TaskCancelled
from tests.application.identity.use_cases import CONTEXT, PASSWORD, build
from tests.conformance.runtimes import Driver, run

__all__ = ["run"]


class Answer(Enum):
    REFUSED = "refused"


class Secretive:
    def __repr__(self) -> str:
        raise AssertionError("an answer is never printed")


@traced
async def use_case(answer: object, *, context: RequestContext | None = None) -> object:
    assert context in {None, CONTEXT}
    if isinstance(answer, Exception):
        raise answer
    return answer


def said(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.__dict__ for record in caplog.records if hasattr(record, "outcome")]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (None, "None"),
        (True, "True"),
        (Answer.REFUSED, "Answer.REFUSED"),
        (7, "int"),
        ("a-token", "str"),
        (Secretive(), "Secretive"),
    ],
)
def test_a_line_tells_the_kind_of_an_answer_and_the_request(
    run: Driver, caplog: pytest.LogCaptureFixture, answer: object, outcome: str
) -> None:
    async def body(_: Runtime) -> None:
        assert await use_case(answer, context=CONTEXT) is answer

    caplog.set_level(logging.DEBUG, logger=__name__)
    run(body)
    (line,) = said(caplog)
    assert (line["msg"], line["outcome"], line["request_id"]) == ("use_case", outcome, CONTEXT.request_id)


def test_an_error_passes_through_and_is_told_by_its_kind(
    run: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(_: Runtime) -> None:
        with pytest.raises(ValueError, match="hunter2"):
            await use_case(ValueError("hunter2"))

    caplog.set_level(logging.DEBUG, logger=__name__)
    run(body)
    (line,) = said(caplog)
    assert line["outcome"] == "raised ValueError"
    # Nobody asked.
    assert "request_id" not in line
    assert "hunter2" not in caplog.text


def test_a_call_that_was_not_told_of_its_request_is_told_by_the_one_under_way(
    run: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(runtime: Runtime) -> None:
        token = REQUEST_ID.set("req-under-way")
        try:
            await use_case(7)
            await runtime.start(lambda: use_case(8), name="begun by the request").wait()
            await runtime.shielded(lambda: use_case(9), name="shielded")
            await use_case(10, context=CONTEXT)
        finally:
            REQUEST_ID.reset(token)

    caplog.set_level(logging.DEBUG, logger=__name__)
    run(body)
    ids = [line["request_id"] for line in said(caplog)]
    assert ids == ["req-under-way"] * 3 + [CONTEXT.request_id]


def test_a_cancelled_call_is_told_as_one(run: Driver, caplog: pytest.LogCaptureFixture) -> None:
    async def body(runtime: Runtime) -> None:
        begun = runtime.event()

        @traced
        async def endless() -> None:
            begun.set()
            await runtime.event().wait()

        task = runtime.start(endless, name="endless")
        await begun.wait()
        task.cancel()
        with pytest.raises(TaskCancelled):
            await task.wait()

    caplog.set_level(logging.DEBUG, logger=__name__)
    run(body)
    assert [line["outcome"] for line in said(caplog)] == ["cancelled"]


def test_no_use_case_of_identity_logs_an_argument_or_an_answer(
    run: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    """All that clients send and get: names, addresses, passwords, tokens and keys."""
    secrets: list[str] = [PASSWORD, "ada@example.com", "a wrong password"]

    async def body(runtime: Runtime) -> None:
        house = build(runtime)
        await house.registered("ada")
        pair = await house.logged_in("ada")
        secrets.extend([pair.access_token, pair.refresh_token, pair.device_id])
        rejected = await house.sessions.login(
            login="ada", password="a wrong password", device_id=None, context=CONTEXT
        )
        assert rejected is LoginRejection.INVALID_CREDENTIALS
        await house.sessions.refresh(token=pair.refresh_token, device_id=pair.device_id, context=CONTEXT)

    caplog.set_level(logging.DEBUG)
    run(body)
    lines = said(caplog)
    assert [line["msg"] for line in lines] == [
        "UserService.register",
        "SessionService.login",
        "SessionService.login",
        "SessionService.refresh",
    ]
    printed = "\n".join(str(line) for line in lines)
    assert not [secret for secret in secrets if secret in printed]


def test_where_debug_is_off_no_record_is_made(
    run: Driver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("a record costs what nobody asked for")

    async def body(_: Runtime) -> None:
        assert await use_case(7, context=CONTEXT) == 7

    caplog.set_level(logging.INFO)
    monkeypatch.setattr("application.call_log._request", forbidden)
    monkeypatch.setattr("application.call_log._outcome", forbidden)
    run(body)
    assert said(caplog) == []
