"""A body is bounded in bytes, by the route it is for, and is read only once its sender may call."""

from __future__ import annotations

import pytest

from adapters.asgi.problems import Problem
from adapters.asgi.request_head import RequestHead
from adapters.asgi.types import Message
from adapters.web.body import BodyLimits, read_body
from ports.runtime import Runtime
from tests.adapters.web.probe_routes import ROUTES
from tests.adapters.web.service import Options, TestService, open_service
from tests.conformance.runtimes import Driver, run

__all__ = ["run"]

JSON = {"Content-Type": "application/json"}


def with_limit(runtime: Runtime, bytes_max: int) -> TestService:
    return open_service(runtime, Options(routes=ROUTES, body_bytes_max=bytes_max))


def padded(size: int) -> bytes:
    return b'{"amount":1}'.ljust(size)


@pytest.mark.parametrize(("size", "status"), [(100, 201), (101, 413)])
@pytest.mark.parametrize("piece", [1000, 100, 7])
@pytest.mark.parametrize("declared", [True, False])
def test_the_limit_is_exact_however_the_body_arrives(
    run_real: Driver, size: int, status: int, piece: int, declared: bool
) -> None:
    async def main(runtime: Runtime) -> None:
        body = padded(size)
        chunks = [body[start : start + piece] for start in range(0, size, piece)]
        headers = {**JSON, "Content-Length": str(size)} if declared else JSON
        reply = await with_limit(runtime, 100).client.request(
            "POST", "/orders", chunks=chunks, headers=headers
        )
        assert reply.status == status
        if status == 413:
            assert reply.code == "body_too_large"

    run_real(main)


@pytest.mark.parametrize(("size", "status"), [(64, 201), (65, 413)])
def test_a_route_may_have_a_limit_of_its_own(run_real: Driver, size: int, status: int) -> None:
    async def main(runtime: Runtime) -> None:
        reply = await with_limit(runtime, 1000).client.request(
            "POST", "/small", body=padded(size), headers=JSON
        )
        assert reply.status == status

    run_real(main)


def test_an_endless_body_is_given_up(run_real: Driver) -> None:
    async def main(runtime: Runtime) -> None:
        megabyte = b" " * 1024 * 1024
        reply = await with_limit(runtime, 100).client.request(
            "POST", "/orders", chunks=[megabyte] * 40, headers=JSON
        )
        assert reply.code == "body_too_large"

    run_real(main)


@pytest.mark.parametrize(
    ("headers", "sent", "code"),
    [
        ([(b"content-length", b"9")], [b"12345678"], "request_timeout"),
        ([(b"content-length", b"11")], [], "body_too_large"),
        ([(b"content-length", b"11")], [b"1"], "body_too_large"),
        ([], [b"12345678", b"9012"], "body_too_large"),
        ([], [b"12345678"], "request_timeout"),
    ],
)
def test_a_client_that_is_slow_with_too_much_is_told_of_the_size(
    run: Driver, headers: list[tuple[bytes, bytes]], sent: list[bytes], code: str
) -> None:
    async def main(runtime: Runtime) -> None:
        pieces = list(sent)

        async def receive() -> Message:
            if not pieces:
                await runtime.event().wait()
            return {"type": "http.request", "body": pieces.pop(0), "more_body": True}

        answer = await read_body(
            receive,
            runtime,
            BodyLimits(bytes_max=10, seconds_max=0.05),
            length=RequestHead(headers).body_length,
        )
        assert isinstance(answer, Problem)
        assert answer.code == code

    run(main)


def test_a_client_that_leaves_in_the_middle_changes_nothing(run_real: Driver) -> None:
    async def main(runtime: Runtime) -> None:
        reply = await with_limit(runtime, 100).client.request(
            "POST", "/orders", chunks=[b'{"amount"', b":1}"], headers=JSON, disconnected=True
        )
        assert reply.code == "client_disconnected"

    run_real(main)


def test_a_caller_who_may_not_is_refused_before_the_body_is_looked_at(run_real: Driver) -> None:
    async def main(runtime: Runtime) -> None:
        service = with_limit(runtime, 100)
        reply = await service.client.request("POST", "/admin-only", body=b"{", headers=JSON)
        assert (reply.status, reply.code) == (401, "not_authenticated")
        user = await service.login()
        reply = await service.client.request("POST", "/admin-only", body=b"{", headers={**JSON, **user})
        assert (reply.status, reply.code) == (403, "forbidden")

    run_real(main)
