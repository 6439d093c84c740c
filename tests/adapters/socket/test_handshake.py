"""Who may be upgraded, and how the others are told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from adapters.asgi.problems import Problem
from adapters.socket.handshake import Accepted, judge, normal_origin
from domain.realtime.events import CloseCode
from domain.realtime.protocol import SUBPROTOCOL
from ports.runtime import Runtime
from tests.adapters.socket.wire import Service, Wire, guarded
from tests.conformance.runtimes import Driver

ALLOWED = frozenset({"https://app.example"})


def scope(
    path: str = "/ws", *, subprotocols: tuple[str, ...] = (SUBPROTOCOL,), **headers: str
) -> dict[str, Any]:
    named = {"host": "credit.example", **headers}
    return {
        "path": path,
        "subprotocols": list(subprotocols),
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }


@pytest.mark.parametrize("path", ["/", "/ws/", "/WS", "/wss", "/ws/x", ""])
def test_other_paths_are_not_found(path: str) -> None:
    verdict = judge(scope(path), ALLOWED)
    assert isinstance(verdict, Problem)
    assert verdict.status == 404


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        (("credit-system.v1",), "credit-system.v1"),
        (("graphql-ws", "credit-system.v1"), "credit-system.v1"),
    ],
)
def test_our_subprotocol_is_chosen_when_offered(offered: tuple[str, ...], chosen: str) -> None:
    assert judge(scope(subprotocols=offered), ALLOWED) == Accepted(chosen)


def test_a_client_that_offers_no_subprotocol_is_told_at_once_why_it_must_go(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime)
        wire = await service.dial(subprotocols=[])
        assert await wire.ended() is CloseCode.PROTOCOL_ERROR
        accepted, closed = wire.sent
        assert (accepted["type"], accepted["subprotocol"]) == ("websocket.accept", None)
        assert closed["reason"] == "offer the subprotocol credit-system.v1"
        assert (service.open, service.dropped("protocol_error")) == (0, 1)

    run(body)


def test_a_client_without_subprotocol_that_never_answers_the_close_is_let_go(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime)
        wire = Wire(service, {"subprotocols": []})
        wire.is_rude = True
        assert await wire.ended() is CloseCode.PROTOCOL_ERROR
        assert service.open == 0

    run(body)


def test_a_client_that_offers_only_other_subprotocols_is_refused_400() -> None:
    verdict = judge(scope(subprotocols=("graphql-ws", "Credit-System.v1")), ALLOWED)
    assert isinstance(verdict, Problem)
    assert verdict.status == 400


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://app.example", "credit.example"),
        ("https://APP.example:443", "credit.example"),
        ("https://credit.example", "credit.example"),
        ("http://credit.example", "Credit.Example:80"),
        ("https://credit.example:8443", "credit.example:8443"),
        ("http://[::1]:5000", "[::1]:5000"),
    ],
)
def test_a_listed_origin_and_the_services_own_may_connect(origin: str, host: str) -> None:
    assert isinstance(judge(scope(origin=origin, host=host), ALLOWED), Accepted)


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example",
        "http://app.example",
        "https://app.example:8443",
        "https://app.example.evil.example",
        "https://credit.example@evil.example",
        "https://credit.example/",
        "https://credit.example:8443",
        "null",
        "",
        "credit.example",
        "file://",
        "ws://credit.example",
    ],
)
def test_a_foreign_origin_is_refused_403(origin: str) -> None:
    verdict = judge(scope(origin=origin), ALLOWED)
    assert isinstance(verdict, Problem)
    assert verdict.status == 403


def test_two_origins_are_none_and_two_hosts_are_not_ours() -> None:
    twice = scope(origin="https://app.example")
    twice["headers"].append((b"origin", b"https://app.example"))
    assert isinstance(judge(twice, ALLOWED), Problem)
    hosts = scope(origin="https://credit.example")
    hosts["headers"].append((b"host", b"credit.example"))
    assert isinstance(judge(hosts, ALLOWED), Problem)


def test_over_http2_the_authority_stands_for_the_host() -> None:
    over_http2 = scope(origin="https://credit.example")
    over_http2["headers"][0] = (b":authority", b"credit.example")
    assert isinstance(judge(over_http2, ALLOWED), Accepted)


@pytest.mark.parametrize("origin", ["", "app.example", "https://", "https://a b", "https://a/b", "ftp://a"])
def test_what_is_no_web_origin_cannot_be_listed(run: Driver, origin: str) -> None:
    assert normal_origin(origin) is None

    async def body(runtime: Runtime) -> None:
        with pytest.raises(ValueError):
            Service(runtime, origins=(origin,))

    run(body)


def test_a_refusal_is_a_problem_with_the_request_id(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = Service(runtime)
        wire = await service.dial(path="/nowhere", **guarded())
        await wire.ended()
        start, answer = wire.sent
        assert (start["type"], start["status"]) == ("websocket.http.response.start", 404)
        assert (b"x-request-id", b"req-1") in start["headers"]
        assert (b"content-type", b"application/problem+json") in start["headers"]
        problem = json.loads(answer["body"])
        assert (problem["code"], problem["status"], problem["request_id"]) == ("not_found", 404, "req-1")
        assert service.dropped("not_found") == 1

    run(body)


def test_a_server_without_the_denial_extension_is_asked_to_refuse_by_itself(run: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        wire = await Service(runtime).dial(path="/nowhere", extensions=None)
        async with runtime.deadline(5):
            await wire.call.wait()
        assert [message["type"] for message in wire.sent] == ["websocket.close"]

    run(body)
