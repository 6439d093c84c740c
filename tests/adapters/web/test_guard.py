"""The layer in front: who is asking, may they ask now, and what an answer carries."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from adapters.asgi.request_state import SCOPE_KEY
from adapters.asgi.types import Receive, Send
from adapters.asgi.types import Scope as AsgiScope
from credit_system import Route
from domain.identity.access import PUBLIC
from domain.identity.api_keys import Scope
from ports.runtime import Runtime
from tests.adapters.web.client import Client
from tests.adapters.web.probe_routes import ROUTES, done
from tests.adapters.web.service import PASSWORD, Options, TestService, open_service
from tests.conformance.runtimes import Driver

LOGIN = {"username": "nobody", "password": PASSWORD}


async def statuses(service: TestService, count: int, path: str = "/", **headers: str) -> list[int]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return [(await service.client.request("GET", path, headers=named)).status for _ in range(count)]


@pytest.mark.parametrize(
    ("sent", "is_kept"),
    [
        ("abc-DEF_1.2", True),
        ("x" * 64, True),
        ("x" * 65, False),
        ("", False),
        ("two words", False),
        ("a\nb", False),
        ("a\n", False),
        ("ü", False),
    ],
)
def test_a_sane_request_id_is_kept_and_another_made_otherwise(
    run_real: Driver, sent: str, is_kept: bool
) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        answered = (await service.client.request("GET", "/", headers={"X-Request-ID": sent})).header(
            "x-request-id"
        )
        assert (answered == sent) is is_kept
        assert 16 <= len(answered) <= 64 or is_kept

    run_real(body)


def test_every_answer_carries_its_id_and_forbids_sniffing(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(ip="7/60s"))
        requests = [
            ("GET", "/"), ("GET", "/nowhere"), ("PUT", "/"), ("GET", "/health/live"), ("GET", "/metrics"),
            ("GET", "/users/me"), ("POST", "/auth/login"), ("BREW", "/"), ("OPTIONS", "/"), ("GET", "/"),
        ]  # fmt: skip
        replies = [await service.client.request(method, path) for method, path in requests]
        assert replies[-1].status == 429
        assert all(reply.header("x-content-type-options") == "nosniff" for reply in replies)
        ids = {reply.header("x-request-id") for reply in replies}
        assert len(ids) == len(requests)
        kept = [reply.status for reply in replies if reply.header("cache-control") != "no-store"]
        assert kept == [200], "the first one: everybody's, and no refusal"

    run_real(body)


def test_counted_answers_say_what_remains(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(ip="100/60s", login="10/60s", user="50/1h"))
        reply = await service.client.request("GET", "/")
        assert reply.header("ratelimit-policy") == '"ip";q=100;w=60'
        assert reply.header("ratelimit") == '"ip";r=99;t=60'
        login = await service.client.request("POST", "/auth/login", json=LOGIN)
        assert login.header("ratelimit-policy") == '"ip";q=100;w=60, "login";q=10;w=60'
        assert login.header("ratelimit") == '"ip";r=98;t=60, "login";r=9;t=60'
        headers = await service.login()
        user = await service.client.request("GET", "/users/me", headers=headers)
        assert user.header("ratelimit-policy") == '"user";q=50;w=3600, "ip";q=100;w=60'
        missing = await service.client.request("GET", "/nowhere")
        assert missing.all("ratelimit")
        for path in ("/health/live", "/health/ready", "/metrics"):
            reply = await service.client.request("GET", path)
            assert (reply.status, reply.all("ratelimit")) == (200, [])

    run_real(body)


def test_an_address_over_its_limit_waits_then_goes_on_then_is_banned(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(ip="3/60s"))
        assert await statuses(service, 3) == [200, 200, 200]
        refused = await service.client.request("GET", "/")
        assert (refused.status, refused.code) == (429, "quota_exceeded")
        wait_s = int(refused.header("retry-after"))
        assert 1 <= wait_s <= 60
        service.clock.at_ms += wait_s * 1000
        assert await statuses(service, 1) == [200]
        service.clock.at_ms += 120_000
        # Four more violations are refused, the sixth of all bans.
        assert await statuses(service, 3 + 4) == [200] * 3 + [429] * 4
        banned = await service.client.request("GET", "/")
        assert (banned.status, banned.code) == (403, "banned")
        assert 60 <= int(banned.header("retry-after")) <= 66
        assert service.metrics.value("credit_bans_total", "ip") == 1
        other = Client(service.guard, peer="203.0.113.10")
        assert (await other.request("GET", "/")).status == 200

    run_real(body)


def test_a_banned_client_is_refused_without_asking_the_limiter(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(ip="1/60s"))
        await statuses(service, 7)
        asked = service.limiter.decisions
        again = await service.client.request("GET", "/")
        assert (again.status, again.code) == (403, "banned")
        assert int(again.header("retry-after")) <= 66
        assert service.limiter.decisions == asked

    run_real(body)


def test_a_path_that_is_nobodys_is_counted_too(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(ip="2/60s"))
        assert await statuses(service, 3, "/nowhere") == [404, 404, 429]

    run_real(body)


def test_login_and_registration_have_limits_of_their_own(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(login="2/60s", register="1/60s"))

        async def post(path: str) -> int:
            return (await service.client.request("POST", path, json=LOGIN)).status

        assert [await post("/auth/login") for _ in range(3)] == [401, 401, 429]
        assert [await post("/auth/register") for _ in range(2)] == [400, 429]
        assert await statuses(service, 1) == [200]
        # Asking for the path by another method is not a login.
        assert await statuses(service, 1, "/auth/login") == [405]

    run_real(body)


@pytest.mark.parametrize(
    "spelling",
    ["//auth/login", "///auth/login", "http://service.example/auth/login", "x:/auth/login"],
)
def test_another_spelling_of_a_path_slips_past_no_limit(run_real: Driver, spelling: str) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(login="2/60s"))
        replies = [await service.client.request("POST", spelling, json=LOGIN) for _ in range(3)]
        assert [reply.status for reply in replies] == [401, 401, 429]
        assert all("no-store" in reply.all("cache-control") for reply in replies)
        assert (await service.client.request("post", "/auth/login", json=LOGIN)).status == 429

    run_real(body)


def test_a_target_that_is_no_url_is_nowhere(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        for target in ("http://[bad/auth/login", "", "*", "no slash"):
            assert (await service.client.request("DELETE", target)).status in (404, 405)

    run_real(body)


def test_an_account_name_is_counted_across_addresses(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(login="2/60s"))
        codes = []
        for number, name in enumerate(["ada", "ADA", "ada", "bob"]):
            client = Client(service.guard, peer=f"203.0.113.{number}")
            reply = await client.request("POST", "/auth/login", json={**LOGIN, "username": name})
            codes.append(reply.code)
        assert codes == [
            "invalid_credentials",
            "invalid_credentials",
            "quota_exceeded",
            "invalid_credentials",
        ]
        assert service.metrics.value("credit_logins_total", "limited") == 1

    run_real(body)


def test_a_verified_key_is_counted_by_itself_and_not_by_its_address(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(ip="1/60s", api_key="3/60s"))
        key, other = await service.key(Scope.CREDITS_READ), await service.key(Scope.CREDITS_READ)
        assert await statuses(service, 4, X_API_Key=key.text) == [200, 200, 200, 429]
        assert await statuses(service, 1, X_API_Key=other.text) == [200]
        assert await statuses(service, 2) == [200, 429]

    run_real(body)


def test_a_user_is_counted_by_name_and_by_address(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(ip="10/60s", user="3/1h"))
        headers = await service.login()
        for number in range(3):
            client = Client(service.guard, peer=f"198.51.100.{number}")
            assert (await client.request("GET", "/", headers=headers)).status == 200
        elsewhere = Client(service.guard, peer="198.51.100.77")
        assert (await elsewhere.request("GET", "/", headers=headers)).status == 429
        # What the refused request did not get, nobody lost.
        assert (await elsewhere.request("GET", "/")).header("ratelimit") == '"ip";r=9;t=60'

    run_real(body)


def test_allow_listed_networks_are_never_counted_but_their_sessions_end(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        options = Options(ip="1/60s", user="1/60s", login="1/60s", allowlist=[ip_network("203.0.113.0/24")])
        service = open_service(runtime, options)
        headers = await service.login()
        assert await statuses(service, 10) == [200] * 10
        replies = [await service.client.request("GET", "/users/me", headers=headers) for _ in range(5)]
        assert {reply.status for reply in replies} == {200}
        assert not any(reply.all("ratelimit") for reply in replies)
        assert (await service.client.request("POST", "/auth/logout", headers=headers)).status == 204
        assert (await service.client.request("GET", "/", headers=headers)).code == "invalid_token"

    run_real(body)


def test_forwarded_clients_are_counted_apart_behind_a_trusted_proxy_only(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        trusting = open_service(runtime, Options(ip="1/60s", trusted_proxies=[ip_network("203.0.113.9/32")]))
        for client in ("198.51.100.1", "198.51.100.2"):
            assert await statuses(trusting, 2, X_Forwarded_For=client) == [200, 429]
        doubting = open_service(runtime, Options(ip="2/60s"))
        assert [
            await statuses(doubting, 1, X_Forwarded_For=f"198.51.100.{number}") for number in range(3)
        ] == [[200], [200], [429]]

    run_real(body)


def test_without_the_limiter_authentication_fails_closed_and_the_rest_is_counted_here(
    run_real: Driver,
) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(ip="3/60s"))
        service.limiter.is_away = True
        login = await service.client.request("POST", "/auth/login", json=LOGIN)
        assert (login.status, login.code) == (503, "dependency_unavailable")
        assert int(login.header("retry-after")) >= 1
        assert await statuses(service, 4) == [200, 200, 200, 429]
        decisions = service.metrics
        assert decisions.value("credit_ratelimit_decisions_total", "ip", "unavailable") == 5
        assert decisions.value("credit_ratelimit_decisions_total", "ip", "allowed_locally") == 3
        service.limiter.is_away = False
        assert (await service.client.request("POST", "/auth/login", json=LOGIN)).status == 401

    run_real(body)


def test_requests_are_counted_by_template_and_unknown_names_are_no_labels(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(ip="6/60s", routes=ROUTES))
        for method, path in [
            ("GET", "/"), ("GET", "/owned/usr_1"), ("GET", "/wp-login.php"), ("BREW", "/"),
            ("GET", "/health/live"), ("GET", "/a"), ("PUT", "/"), ("GET", "/"), ("GET", "/owned/usr_1"),
        ]:  # fmt: skip
            await service.client.request(method, path)
        rendered = service.metrics.render()[1].decode()
        assert "usr_1" not in rendered
        assert "wp-login" not in rendered
        counted = {
            labels: service.metrics.value("credit_http_requests_total", *labels)
            for labels in [
                ("GET", "/", "200"), ("GET", "/owned/<owner>", "401"), ("GET", "unmatched", "404"),
                ("other", "unmatched", "405"), ("PUT", "unmatched", "405"), ("GET", "/health/live", "200"),
                ("GET", "/", "429"), ("GET", "refused", "429"),
            ]
        }  # fmt: skip
        assert list(counted.values()) == [1, 1, 2, 1, 1, 1, 1, 1]
        assert len(service.metrics.observations("credit_http_request_duration_seconds", "GET", "/")) == 2
        assert service.metrics.value("credit_errors_total", "not_found") == 2
        assert service.metrics.value("credit_errors_total", "quota_exceeded") == 2
        assert service.metrics.value("credit_ratelimit_decisions_total", "ip", "allowed") == 6

    run_real(body)


def test_a_websockets_connect_is_counted_like_a_request(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(ip="2/60s"))
        assert [message["type"] for message in await service.client.connect("/ws")] == ["websocket.accept"]
        assert service.client.scopes[-1][SCOPE_KEY].address == "203.0.113.9"
        assert await statuses(service, 1) == [200]
        denied = await service.client.denied("/ws")
        assert (denied.status, denied.code) == (429, "quota_exceeded")
        assert int(denied.header("retry-after")) >= 1
        assert service.metrics.value("credit_http_requests_total", "GET", "refused", "429") == 1

    run_real(body)


@pytest.mark.parametrize(("headers", "code"), [({"X-API-Key": "bad"}, 4401), ({}, 4429)])
def test_a_server_that_cannot_deny_closes_with_the_code_of_the_refusal(
    run_real: Driver, headers: dict[str, str], code: int
) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(ip="1/60s"))
        if code == 4429:
            await statuses(service, 1)
        (message,) = await service.client.connect("/ws", headers=headers, can_deny=False)
        assert (message["type"], message["code"]) == ("websocket.close", code)

    run_real(body)


@pytest.mark.parametrize(
    ("path", "policies", "fault"),
    [("/thing", ("logni",), "logni"), ("/things/<thing>", ("login",), "parameters")],
)
def test_a_limit_that_would_never_be_counted_stops_the_start(
    run_real: Driver, path: str, policies: tuple[str, ...], fault: str
) -> None:
    async def body(runtime: Runtime) -> None:
        route = Route("GET", path, "thing", PUBLIC, done, policies=policies)
        with pytest.raises(ValueError, match=fault):
            open_service(runtime, Options(routes=[route]))

    run_real(body)


def test_where_websockets_are_served_who_asks_for_no_upgrade_is_told_what_is_there(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(ip="5/60s"))
        reply = await service.client.request("GET", "/ws")
        assert (reply.status, reply.code) == (426, "upgrade_required")
        assert "credit-system.v1" in reply.json()["detail"]
        assert (reply.header("upgrade"), reply.header("connection")) == ("websocket", "Upgrade")
        assert reply.header("ratelimit") == '"ip";r=4;t=60'
        assert service.metrics.value("credit_http_requests_total", "GET", "/ws", "426") == 1
        assert (await service.client.request("HEAD", "/ws")).status == 426
        posted = await service.client.request("POST", "/ws")
        assert (posted.status, posted.code) == (405, "method_not_allowed")
        assert (await service.client.request("GET", "/ws/")).status == 404
        bad = await service.client.request("GET", "/ws", headers={"X-API-Key": "ck_nobody_nothing"})
        assert (bad.status, bad.code) == (401, "invalid_credentials")
        assert (await service.client.request("GET", "/ws")).status == 429

    run_real(body)


def test_over_http2_no_answer_holds_fields_of_the_connection(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)

        async def over_http2(scope: AsgiScope, receive: Receive, send: Send) -> None:
            await service.guard({**scope, "http_version": "2"}, receive, send)

        reply = await Client(over_http2).request("GET", "/ws")
        assert (reply.status, reply.all("upgrade"), reply.all("connection")) == (426, [], [])

    run_real(body)
