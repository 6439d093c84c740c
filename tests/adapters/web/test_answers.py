"""What goes out: one form for every failure, and who may read it from where."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from credit_system import Answer, Call, Route
from domain.identity.access import PUBLIC
from domain.identity.api_keys import Scope
from ports.errors import DependencyUnavailable, OutcomeUnknown
from ports.runtime import DeadlineExceeded, Overloaded, Runtime
from tests.adapters.web.probe_routes import ROUTES, done, failing
from tests.adapters.web.service import Options, open_service
from tests.conformance.runtimes import Driver


@pytest.mark.parametrize(
    ("make", "status", "code"),
    [
        (lambda: DependencyUnavailable("mongo", "at db.internal:27017"), 503, "dependency_unavailable"),
        (lambda: OutcomeUnknown("mongo", "cut"), 503, "dependency_unavailable"),
        (lambda: Overloaded("queue"), 503, "overloaded"),
        (lambda: DeadlineExceeded("5 s"), 503, "deadline_exceeded"),
        (lambda: ValueError("SELECT secret FROM mongodb://user:pw@host"), 500, "internal_error"),
        (lambda: RecursionError("deep"), 500, "internal_error"),
        (lambda: ExceptionGroup("g", [ExceptionGroup("h", [Overloaded("q")])]), 503, "overloaded"),
        (
            lambda: ExceptionGroup("g", [KeyError("k"), DependencyUnavailable("redis")]),
            503,
            "dependency_unavailable",
        ),
        (lambda: ExceptionGroup("g", [KeyError("k")]), 500, "internal_error"),
    ],
)  # fmt: skip
def test_every_failure_is_a_problem_that_tells_no_secret(
    run_real: Driver, make: Callable[[], Exception], status: int, code: str
) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(routes=[failing(make)]))
        reply = await service.client.request("GET", "/fails", headers={"X-Request-ID": "r-1"})
        assert (reply.status, reply.code) == (status, code)
        assert reply.json()["request_id"] == "r-1"
        assert reply.all("retry-after") == (["1"] if status == 503 else [])
        for secret in ("SELECT", "mongodb", "db.internal", "Traceback", "KeyError"):
            assert secret not in reply.body.decode()
        assert service.metrics.value("credit_errors_total", code) == 1
        assert service.metrics.value("credit_http_requests_total", "GET", "/fails", str(status)) == 1

    run_real(body)


def test_an_unforeseen_failure_is_logged_with_the_requests_id(
    run_real: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(routes=[failing(lambda: ValueError("the cause"))]))
        await service.client.request("GET", "/fails", headers={"X-Request-ID": "find-me"})

    run_real(body)
    (record,) = [record for record in caplog.records if "find-me" in record.getMessage()]
    assert record.exc_info is not None
    assert str(record.exc_info[1]) == "the cause"


def test_a_failure_is_logged_with_method_and_path_and_a_client_ends_no_line_of_the_log(
    run_real: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(_call: Call[None, None]) -> Answer:
        raise ValueError("the cause")

    async def body(runtime: Runtime) -> None:
        routes = [Route("PUT", "/fails/<name>", "fails", PUBLIC, fail)]
        service = open_service(runtime, Options(routes=routes))
        sent = {"X-Request-ID": "find-me"}
        reply = await service.client.request("PUT", "/fails/a%0aERROR%20b", headers=sent)
        assert reply.status == 500
        await service.client.request("PUT", "/fails/" + "x" * 10_000)

    run_real(body)
    named, long = [record for record in caplog.records if record.levelname == "ERROR"]
    assert named.getMessage() == "request find-me failed: PUT /fails/a%0AERROR%20b"
    fields = (named.request_id, named.method, named.path, named.route)  # type: ignore[attr-defined] # `extra`
    assert fields == ("find-me", "PUT", "/fails/a%0AERROR%20b", "/fails/<name>")
    assert len(long.getMessage()) < 400


def test_an_outage_is_not_logged_once_a_request(
    run_real: Driver, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("adapters.asgi.problems._noted_s", {})

    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(routes=[failing(lambda: DependencyUnavailable("mongo"))]))
        for _ in range(20):
            assert (await service.client.request("GET", "/fails")).status == 503

    run_real(body)
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nowhere", 404, "not_found"),
        ("GET", "/users/me/", 404, "not_found"),
        ("GET", "/users//me", 404, "not_found"),
        ("GET", "/owned/a/b", 404, "not_found"),
        ("PUT", "/users/me", 405, "method_not_allowed"),
        ("BREW", "/users/me", 405, "method_not_allowed"),
    ],
)
def test_what_is_not_there_is_a_problem_too(
    run_real: Driver, method: str, path: str, status: int, code: str
) -> None:
    async def body(runtime: Runtime) -> None:
        reply = await open_service(runtime, Options(routes=ROUTES)).client.request(method, path)
        assert (reply.status, reply.code) == (status, code)
        if status == 405:
            assert set(reply.header("allow").split(", ")) == {"GET", "HEAD", "OPTIONS", "PATCH", "DELETE"}

    run_real(body)


def test_a_host_header_of_nonsense_breaks_nothing(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        reply = await service.client.request("GET", "/", headers=[("Host", "a b/c:x")])
        assert reply.status in (200, 400)
        assert reply.status == 200 or reply.code == "bad_request"

    run_real(body)


def test_no_content_is_nothing_at_all(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(routes=[Route("DELETE", "/thing", "thing", PUBLIC, done)]))
        reply = await service.client.request("DELETE", "/thing")
        assert (reply.status, reply.body) == (204, b"")
        # RFC 9110, 8.6: a 204 carries no Content-Length.
        assert reply.all("content-length") == reply.all("content-type") == []

    run_real(body)


def test_the_owner_is_asked_for_where_it_is_known(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(routes=ROUTES))
        user = await service.register("ada")
        headers = await service.login("ada", register=False)
        reader = {"X-API-Key": (await service.key(Scope.CREDITS_READ)).text}
        writer = {"X-API-Key": (await service.key(Scope.CREDITS_WRITE)).text}

        async def ask(owner: str, headers: dict[str, str]) -> tuple[int, str]:
            reply = await service.client.request("GET", f"/owned/{owner}", headers=headers)
            return reply.status, "" if reply.status == 200 else reply.code

        assert await ask(user["id"], headers) == (200, "")
        assert await ask("usr_other", headers) == (403, "forbidden")
        assert await ask("usr_other", reader) == (200, "")
        assert await ask("usr_other", writer) == (403, "forbidden")
        assert await ask("usr_other", {}) == (401, "not_authenticated")

    run_real(body)


ORIGIN = "https://shop.example"
PREFLIGHT = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}


def test_a_listed_origins_preflight_is_answered_uncounted(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(origins=[ORIGIN], ip="1/60s"))
        for _ in range(3):
            reply = await service.client.request("OPTIONS", "/auth/login", headers=PREFLIGHT)
            assert (reply.status, reply.body) == (204, b"")
            assert reply.header("access-control-allow-origin") == ORIGIN
            assert "POST" in reply.header("access-control-allow-methods")
            assert "Authorization" in reply.header("access-control-allow-headers")
            assert reply.header("vary") == "Origin"
        assert service.limiter.decisions == 0

    run_real(body)


def test_answers_and_refusals_can_be_read_by_listed_origins_only(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(origins=[ORIGIN], ip="2/60s"))
        for status in (200, 200, 429):
            reply = await service.client.request("GET", "/", headers={"Origin": ORIGIN})
            assert reply.status == status
            assert reply.header("access-control-allow-origin") == ORIGIN
            assert "Retry-After" in reply.header("access-control-expose-headers")
        for origin in ("https://evil.example", "null", ORIGIN + ".evil.example", ORIGIN.upper()):
            reply = await service.client.request("GET", "/", headers={"Origin": origin})
            assert reply.all("access-control-allow-origin") == []
            preflight = await service.client.request("OPTIONS", "/", headers={**PREFLIGHT, "Origin": origin})
            assert preflight.all("access-control-allow-origin") == []

    run_real(body)


def test_without_a_list_no_origin_is_answered(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        reply = await open_service(runtime).client.request("GET", "/", headers={"Origin": ORIGIN})
        assert [name for name, _ in reply.headers if name.startswith(("access-control", "vary"))] == []

    run_real(body)


def test_any_origin_is_allowed_without_its_cookies(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(origins=["*"]))
        reply = await service.client.request("GET", "/", headers={"Origin": ORIGIN})
        assert reply.header("access-control-allow-origin") == "*"
        assert reply.all("access-control-allow-credentials") == []

    run_real(body)
