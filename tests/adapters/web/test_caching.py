"""Nobody keeps an answer that was one caller's, and everybody may keep what is everybody's."""

from __future__ import annotations

import pytest

from credit_system import Answer, Call, Route
from domain.identity.access import PUBLIC, USER
from domain.identity.api_keys import Scope
from ports.runtime import Runtime
from tests.adapters.web.authorisation import CALLERS, NOBODY, PERSONS, TABLE
from tests.adapters.web.client import Reply
from tests.adapters.web.probe_routes import ROUTES, failing
from tests.adapters.web.service import Options, open_service
from tests.adapters.web.test_authorisation import BAD_CREDENTIALS, ENDS_ITS_CALLER, Town, live_in_town
from tests.conformance.runtimes import Driver

NO_STORE = ["no-store"]
KEPT = {
    "GET /": "public, max-age=60",
    "GET /.well-known/jwks.json": "public, max-age=60",
    "GET /openapi.json": "public, max-age=60",
    "GET /asyncapi.json": "public, max-age=60",
    "GET /docs": "public, max-age=3600",
    "GET /docs/<asset>": "public, max-age=3600",
}
CLAIMED = (("Cache-Control", "public, max-age=31536000"),)


async def claims(_call: Call[None, None]) -> Answer:
    return Answer(200, {"for": "one"}, CLAIMED)


async def refuses_to_be_kept(_call: Call[None, None]) -> Answer:
    return Answer(200, {"for": "all"}, (("Cache-Control", "private"),))


PLUGIN = (
    *ROUTES,
    failing(lambda: RuntimeError("on purpose")),
    Route("GET", "/claims", "claims", PUBLIC, claims),
    Route("GET", "/claims-mine", "claims_mine", USER, claims),
    Route("GET", "/kept", "kept", PUBLIC, refuses_to_be_kept, cache="public, max-age=5"),
)


def caching(reply: Reply) -> list[str]:
    return reply.all("cache-control")


def test_every_answer_of_every_route_to_every_caller_is_kept_by_nobody_or_everybody_s(
    run_real: Driver,
) -> None:
    async def story(town: Town) -> None:
        wrong = {}
        for route in sorted(TABLE):
            for caller in CALLERS:
                headers = town.headers[caller]
                if route in ENDS_ITS_CALLER and caller in PERSONS:
                    headers = await town.person(caller)
                reply = await town.ask(route, headers)
                kept = [KEPT[route]] if route in KEPT and caller == NOBODY else NO_STORE
                if caching(reply) != kept:
                    wrong[route, caller] = caching(reply)
            for what, (bad, _) in BAD_CREDENTIALS.items():
                if caching(await town.ask(route, bad)) != NO_STORE:
                    wrong[route, what] = ["kept"]
            for method in ("HEAD", "OPTIONS", "TRACE", "PATCH"):
                reply = await town.ask(route, {}, method=method)
                kept = [KEPT[route]] if method == "HEAD" and route in KEPT else NO_STORE
                if caching(reply) != kept:
                    wrong[route, method] = caching(reply)
        assert wrong == {}

    live_in_town(run_real, story)


def test_no_refusal_is_kept(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        options = Options(ip="14/60s", routes=PLUGIN, origins=["https://app.example"], body_bytes_max=256)
        service = open_service(runtime, options)
        ask, deny = service.client.request, service.client.denied
        preflight = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
        order = {"Content-Type": "application/json"}
        replies = [
            await ask("GET", "/nowhere"),
            await ask("DELETE", "/"),
            await ask("OPTIONS", "/users/me", headers=preflight),
            await ask("POST", "/orders", body=b"{", headers=order),
            await ask("POST", "/orders", body=b"x" * 257, headers=order),
            await ask("POST", "/orders", body=b"x"),
            await ask("GET", "/users-only"),
            await ask("GET", "/users-only", headers={"X-API-Key": "ck_nobody_nothing"}),
            await ask("GET", "/fails"),
            await ask("GET", "/ws"),
            await deny("/ws", headers={"Authorization": "Bearer nonsense"}),
        ]
        assert [reply.status for reply in replies] == [404, 405, 204, 400, 413, 415, 401, 401, 500, 426, 401]
        service.limiter.is_away = True
        replies.append(await ask("POST", "/auth/login", json={"username": "a", "password": "b"}))
        assert replies[-1].status == 503
        service.limiter.is_away = False
        late = [await ask("GET", "/") for _ in range(20)]
        assert {reply.status for reply in late} == {200, 429, 403}
        replies += [reply for reply in late if reply.status != 200]
        replies.append(await deny("/ws"))
        assert replies[-1].status == 403
        assert [reply for reply in replies if caching(reply) != NO_STORE] == []

    run_real(body)


def test_a_plugin_s_route_is_kept_by_nobody_until_it_says_so_in_its_declaration(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(routes=PLUGIN))
        ask = service.client.request
        user = await service.login()
        key = {"X-API-Key": (await service.key(Scope.ADMIN)).text}
        assert caching(await ask("GET", "/claims")) == NO_STORE
        assert caching(await ask("GET", "/claims-mine", headers=user)) == NO_STORE
        assert caching(await ask("GET", "/kept")) == ["public, max-age=5"]
        assert caching(await ask("GET", "/kept", headers={"Cookie": "theme=dark"})) == ["public, max-age=5"]
        for credentials in (user, key):
            reply = await ask("GET", "/kept", headers=credentials)
            assert (reply.status, caching(reply)) == (200, NO_STORE)

    run_real(body)


def test_what_is_not_everybody_s_cannot_be_declared_to_be_kept() -> None:
    with pytest.raises(ValueError, match="not for everybody"):
        Route("GET", "/mine", "mine", USER, claims, cache="public, max-age=5")


def test_an_answer_that_depends_on_its_origin_says_so(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(origins=["https://app.example"]))
        for origin in ("https://app.example", "https://evil.example", None):
            reply = await service.client.request("GET", "/", headers={"Origin": origin} if origin else {})
            assert (reply.all("vary"), caching(reply)) == (["Origin"], [KEPT["GET /"]])

    run_real(body)
