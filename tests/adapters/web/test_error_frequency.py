"""Requests that fail again and again: counted against their address, behind the answer, and only where
nobody vouches for them."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_network

import pytest

from application.limits.rate_limiter import RateLimiter
from domain.identity.api_keys import Scope
from domain.limits.bans import BanPolicy
from domain.limits.identifiers import Identifier, IdentifierType
from ports.runtime import Runtime
from tests.adapters.web.client import PEER
from tests.adapters.web.service import PASSWORD, Options, TestService, open_service
from tests.conformance.runtimes import Driver

ADDRESS = Identifier(IdentifierType.IP, PEER)
BAD_TOKEN = {"Authorization": "Bearer made-up"}
BAD_LOGIN = {"username": "nobody", "password": PASSWORD}
STRICT = Options(errors="3/60s")


async def settled(rate_limiter: RateLimiter) -> None:
    """Returns when every error that was noted has been counted."""
    while (charging := rate_limiter._errors._charging) is not None:
        await charging.wait()


async def errors_of(service: TestService) -> int:
    await settled(service.rate_limiter)
    status = await service.limiter.status(ADDRESS, service.rate_limiter.charges_of(ADDRESS))
    return dict(status.windows)["errors"]


async def ask(
    service: TestService, method: str, path: str, headers: Mapping[str, str], body: object = None
) -> int:
    return (await service.client.request(method, path, headers=headers, json=body)).status


def test_who_keeps_failing_is_banned_and_each_answer_is_given_before_it_counts(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, STRICT)
        answers = []
        for _ in range(3 + BanPolicy().threshold + 1):
            answers.append(await ask(service, "GET", "/users/me", BAD_TOKEN))
            await settled(service.rate_limiter)
        # The one that tipped the scales was answered as what it was.
        assert answers == [401] * 9
        assert await ask(service, "GET", "/", {}) == 403
        assert service.metrics.value("credit_bans_total", "ip") == 1

    run_real(body)


@pytest.mark.parametrize(
    ("method", "path", "sent", "body", "status"),
    [
        ("GET", "/users/me", BAD_TOKEN, None, 401),
        ("GET", "/users/me", {"X-API-Key": "ck_nothing"}, None, 401),
        ("POST", "/auth/login", {}, BAD_LOGIN, 401),
        ("POST", "/auth/login", {}, {"user": 1}, 400),
        ("POST", "/auth/refresh", {}, {"refresh_token": "made-up"}, 401),
    ],
)
def test_what_was_tried_and_was_wrong_counts(
    run_real: Driver, method: str, path: str, sent: Mapping[str, str], body: object, status: int
) -> None:
    async def story(runtime: Runtime) -> None:
        service = open_service(runtime)
        assert await ask(service, method, path, sent, body) == status
        assert await errors_of(service) == 1

    run_real(story)


def test_a_websocket_that_is_refused_counts_too(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        assert (await service.client.denied("/ws", headers=BAD_TOKEN)).status == 401
        assert await errors_of(service) == 1

    run_real(body)


def test_what_blames_nobody_does_not_count(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        user = await service.login()
        key = {"X-API-Key": (await service.key(Scope.USERS_READ)).text}
        # Nothing was presented, so nothing was guessed.
        assert await ask(service, "GET", "/users/me", {}) == 401
        # Other refusals.
        assert await ask(service, "GET", "/nowhere", {}) == 404
        assert await ask(service, "PUT", "/", {}) == 405
        assert await ask(service, "GET", "/api-keys", user) == 403
        # A service may speak for many; a user's own mistakes are counted by the user's own limit.
        assert await ask(service, "POST", "/auth/login", key, BAD_LOGIN) == 401
        assert await ask(service, "GET", "/?what=this", key) == 400
        assert await ask(service, "GET", "/?what=this", user) == 400
        assert await errors_of(service) == 0
        # What the body tries is not vouched for by a token beside it.
        assert await ask(service, "POST", "/auth/login", user, BAD_LOGIN) == 401
        assert await errors_of(service) == 1
        # A session that has ended and a token that is too old happen to every client.
        other = await service.login(register=False)
        assert await ask(service, "POST", "/auth/logout", other) == 204
        assert await ask(service, "GET", "/users/me", other) == 401
        service.clock.at_ms += 600_000
        assert await ask(service, "GET", "/users/me", user) == 401
        assert await errors_of(service) == 0

    run_real(body)


def test_an_allow_listed_address_may_fail_as_it_likes(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(errors="3/60s", allowlist=[ip_network("203.0.113.0/24")]))
        for _ in range(20):
            assert await ask(service, "GET", "/users/me", BAD_TOKEN) == 401
        assert await errors_of(service) == 0

    run_real(body)


def test_errors_are_counted_locally_while_the_limiter_is_away(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, STRICT)
        service.limiter.is_away = True
        for _ in range(3 + BanPolicy().threshold + 1):
            assert await ask(service, "GET", "/users/me", BAD_TOKEN) == 401
            await settled(service.rate_limiter)
        assert await ask(service, "GET", "/", {}) == 403

    run_real(body)
