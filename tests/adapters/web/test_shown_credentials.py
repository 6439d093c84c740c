"""Every line of the table in docs/credentials.md, sent: what it is answered, and held against whom."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping

import pytest

from adapters.crypto.token_keys import TokenKeyring
from adapters.runtime.system import SystemEntropy
from application.identity.api_keys import CreatedApiKey
from application.identity.tokens import TokenService
from domain.encryption.keyring import RingKey
from domain.identity.api_keys import Scope
from domain.identity.tokens import TokenKind
from ports.runtime import Runtime
from tests.adapters.web.client import HeaderItems, Reply
from tests.adapters.web.service import PASSWORD, RING, START_MS, SYSTEM_CONTEXT, TestService, open_service
from tests.adapters.web.test_error_frequency import ADDRESS, errors_of, settled
from tests.conformance.identity import a_session, a_user
from tests.conformance.runtimes import Driver
from tests.ground.sources import PROJECT

FORMER = RingKey("a root key that was replaced an hour ago")
FORGOTTEN = RingKey("a root key that no ring knows any more")
REPLACED = (FORMER, RingKey(RING[0].secret, writes_from_ms=START_MS - 3_600_000))
EVE = "device-of-eve-0001"
MADE_UP_KEY = "ck_" + "0" * 26 + "_" + "0" * 52

Headers = Mapping[str, str] | HeaderItems
Case = Callable[[TestService], Awaitable[Reply]]
CASES: dict[str, Case] = {}


def case(name: str) -> Callable[[Case], Case]:
    def named(send: Case) -> Case:
        CASES[name] = send
        return send

    return named


def table() -> dict[str, tuple[str, int, int]]:
    text = (PROJECT / "docs" / "credentials.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\| (.+) \| `(\w+)` \| (\d) \| (\d) \|$", text, re.MULTILINE)
    return {shown: (code, int(errors), int(violations)) for shown, code, errors, violations in lines}


class Clock:
    def __init__(self, at_ms: int) -> None:
        self._at_ms = at_ms

    def now_ms(self) -> int:
        return self._at_ms


def issued(key: RingKey, at_ms: int = START_MS) -> dict[str, str]:
    """An access token as another process made it, with this key and by its own clock."""
    clock = Clock(at_ms)
    keys = TokenKeyring((key,), clock=clock, refresh_lifetime_ms=86_400_000)
    user = a_user()
    tokens = TokenService(keys=keys, clock=clock, entropy=SystemEntropy())
    return {"Authorization": f"Bearer {tokens.issue(TokenKind.ACCESS, user, a_session(user)).text}"}


async def ask(service: TestService, headers: Headers = (), path: str = "/users/me") -> Reply:
    return await service.client.request("GET", path, headers=headers)


async def log_in(service: TestService) -> dict[str, str]:
    """The tokens of a new user's login."""
    await service.register()
    reply = await service.client.request(
        "POST", "/auth/login", json={"username": "ada", "password": PASSWORD}
    )
    tokens: dict[str, str] = reply.json()
    return tokens


def bearer(tokens: Mapping[str, str], *, device_id: str | None = None) -> dict[str, str]:
    device = tokens["device_id"] if device_id is None else device_id
    return {"Authorization": f"Bearer {tokens['access_token']}", "X-Device-Id": device}


async def refresh(service: TestService, token: str, headers: Headers = ()) -> Reply:
    return await service.client.request(
        "POST", "/auth/refresh", json={"refresh_token": token}, headers=headers
    )


@case("nothing, where something is needed")
async def _(service: TestService) -> Reply:
    return await ask(service)


@case("`Authorization` of another scheme")
async def _(service: TestService) -> Reply:
    key = await service.key(Scope.ADMIN)
    for value in ("Digest x", "Bearer\ttoken", "Bearertoken", "ck_x", "Token x", "basic"):
        reply = await ask(service, {"Authorization": value, "X-API-Key": key.text}, "/")
        assert (reply.status, reply.code) == (401, "not_authenticated")
        assert "`Bearer`" in reply.json()["detail"]
        assert "`X-API-Key`" in reply.json()["detail"]
    return await ask(service, {"Authorization": "Basic YTpi", "X-API-Key": key.text}, "/")


@case("an empty `Authorization`")
async def _(service: TestService) -> Reply:
    key = await service.key(Scope.ADMIN)
    return await ask(service, {"Authorization": "", "X-API-Key": key.text}, "/")


@case("two `Authorization`")
async def _(service: TestService) -> Reply:
    token = bearer(await log_in(service))["Authorization"]
    return await ask(service, [("Authorization", token), ("Authorization", token)])


@case("`Bearer` with nothing after it")
async def _(service: TestService) -> Reply:
    for value in ("Bearer", "bearer "):
        assert (await ask(service, {"Authorization": value})).code == "invalid_token"
    return await ask(service, {"Authorization": "BEARER   "})


@case("an API key as a token")
async def _(service: TestService) -> Reply:
    key = await service.key(Scope.ADMIN)
    reply = await ask(service, {"Authorization": f"Bearer {key.text}"})
    assert "`X-API-Key`" in reply.json()["detail"]
    return reply


@case("a refresh token as an access token")
async def _(service: TestService) -> Reply:
    tokens = await log_in(service)
    reply = await ask(service, {"Authorization": f"Bearer {tokens['refresh_token']}"})
    assert "`POST /auth/refresh`" in reply.json()["detail"]
    return reply


@case("a WebSocket token as an access token")
async def _(service: TestService) -> Reply:
    headers = bearer(await log_in(service))
    made = await service.client.request("POST", "/auth/websocket-token", headers=headers)
    reply = await ask(service, {**headers, "Authorization": f"Bearer {made.json()['token']}"})
    assert "`/ws`" in reply.json()["detail"]
    return reply


@case("an access token that has expired")
async def _(service: TestService) -> Reply:
    headers = bearer(await log_in(service))
    service.clock.at_ms += 300_000
    reply = await ask(service, headers)
    assert "expired" in reply.json()["detail"]
    return reply


@case("an access token that has expired, and whose key was replaced since")
async def _(service: TestService) -> Reply:
    reply = await ask(service, issued(FORMER, START_MS - 3_600_000))
    assert "expired" in reply.json()["detail"]
    # Not even one that says otherwise is believed: this key signs no more.
    assert (await ask(service, issued(FORMER))).status == 401
    return reply


@case("an access token from the clock of another host")
async def _(service: TestService) -> Reply:
    return await ask(service, issued(RING[0], START_MS + 60_000))


@case("an access token of a session that has ended")
async def _(service: TestService) -> Reply:
    headers = bearer(await log_in(service))
    assert (await service.client.request("POST", "/auth/logout", headers=headers)).status == 204
    return await ask(service, headers)


@case("an access token, and no device")
async def _(service: TestService) -> Reply:
    tokens = await log_in(service)
    token = {"Authorization": f"Bearer {tokens['access_token']}"}
    for nobody_s in ("", "null", "undefined", "x" * 65):
        assert (await ask(service, {**token, "X-Device-Id": nobody_s})).code == "device_mismatch"
    reply = await ask(service, token)
    assert "`X-Device-Id`" in reply.json()["detail"]
    assert "X-Device-Id" in reply.header("www-authenticate")
    return reply


@case("an access token on another device")
async def _(service: TestService) -> Reply:
    reply = await ask(service, bearer(await log_in(service), device_id=EVE))
    assert "`X-Device-Id`" in reply.json()["detail"]
    return reply


@case("an access token that nobody made")
async def _(service: TestService) -> Reply:
    return await ask(service, {"Authorization": "Bearer made-up"})


@case("an access token whose key was forgotten (`keys rotate jwt --forget-old`)")
async def _(service: TestService) -> Reply:
    return await ask(service, issued(FORGOTTEN))


@case("two `X-API-Key`")
async def _(service: TestService) -> Reply:
    key = (await service.key(Scope.ADMIN)).text
    return await ask(service, [("X-API-Key", key), ("X-API-Key", key)], "/")


@case("an empty `X-API-Key`")
async def _(service: TestService) -> Reply:
    return await ask(service, {"X-API-Key": ""})


@case("a token as an API key")
async def _(service: TestService) -> Reply:
    tokens = await log_in(service)
    assert (await ask(service, {"X-API-Key": tokens["refresh_token"]})).code == "invalid_credentials"
    reply = await ask(service, {"X-API-Key": tokens["access_token"]})
    assert "`Authorization`" in reply.json()["detail"]
    return reply


@case("an API key that has expired")
async def _(service: TestService) -> Reply:
    key = await service.api_keys.create(
        name="k", scopes=frozenset({Scope.ADMIN}), expires_ms=START_MS + 1_000, context=SYSTEM_CONTEXT
    )
    assert isinstance(key, CreatedApiKey)
    service.clock.at_ms += 1_000
    reply = await ask(service, {"X-API-Key": key.text})
    assert "expired" in reply.json()["detail"]
    return reply


@case("an API key that was revoked")
async def _(service: TestService) -> Reply:
    key = await service.key(Scope.ADMIN)
    await service.api_keys.revoke(key.api_key.id, SYSTEM_CONTEXT)
    reply = await ask(service, {"X-API-Key": key.text})
    assert "revoked" in reply.json()["detail"]
    return reply


@case("an API key with another secret")
async def _(service: TestService) -> Reply:
    key = await service.key(Scope.ADMIN)
    return await ask(service, {"X-API-Key": key.text[:-52] + "0" * 52})


@case("an API key that nobody made")
async def _(service: TestService) -> Reply:
    return await ask(service, {"X-API-Key": MADE_UP_KEY})


@case("a good API key, and no signature where one is needed")
async def _(service: TestService) -> Reply:
    key = await service.key(Scope.ADMIN, require_signature=True)
    return await ask(service, {"X-API-Key": key.text})


@case("a good API key, and a token that nobody made")
async def _(service: TestService) -> Reply:
    key = await service.key(Scope.ADMIN)
    return await ask(service, {"X-API-Key": key.text, "Authorization": "Bearer made-up"})


@case("a good API key, and a token of a session that has ended")
async def _(service: TestService) -> Reply:
    key = await service.key(Scope.ADMIN)
    headers = bearer(await log_in(service))
    assert (await ask(service, {**headers, "X-API-Key": key.text}, "/api-keys")).status == 200
    assert (await service.client.request("POST", "/auth/logout", headers=headers)).status == 204
    return await ask(service, {**headers, "X-API-Key": key.text}, "/api-keys")


@case("to refresh: a token of a session that has ended")
async def _(service: TestService) -> Reply:
    tokens = await log_in(service)
    headers = bearer(tokens)
    assert (await service.client.request("POST", "/auth/logout", headers=headers)).status == 204
    return await refresh(service, tokens["refresh_token"], {"X-Device-Id": tokens["device_id"]})


@case("to refresh: another credential")
async def _(service: TestService) -> Reply:
    tokens = await log_in(service)
    device = {"X-Device-Id": tokens["device_id"]}
    assert (await refresh(service, tokens["access_token"], device)).code == "invalid_token"
    return await refresh(service, MADE_UP_KEY, device)


@case("to refresh: a token, and no device")
async def _(service: TestService) -> Reply:
    tokens = await log_in(service)
    reply = await refresh(service, tokens["refresh_token"])
    device = {"X-Device-Id": tokens["device_id"]}
    second = await refresh(service, tokens["refresh_token"], device)
    assert (await refresh(service, second.json()["refresh_token"], device)).status == 200
    # One that was rotated long since does no harm either.
    assert (await refresh(service, tokens["refresh_token"])).code == "device_mismatch"
    return reply


@case("to refresh: a token on another device")
async def _(service: TestService) -> Reply:
    tokens = await log_in(service)
    return await refresh(service, tokens["refresh_token"], {"X-Device-Id": EVE})


@case("to refresh: a token that was used before")
async def _(service: TestService) -> Reply:
    tokens = await log_in(service)
    await refresh(service, tokens["refresh_token"], {"X-Device-Id": tokens["device_id"]})
    return await refresh(service, tokens["refresh_token"], {"X-Device-Id": EVE})


@case("to refresh: a token that nobody made")
async def _(service: TestService) -> Reply:
    tokens = await log_in(service)
    forged = tokens["refresh_token"][:-1] + ("A" if tokens["refresh_token"][-1] != "A" else "B")
    return await refresh(service, forged, {"X-Device-Id": tokens["device_id"]})


@case("to log in or refresh: what can be no device's id")
async def _(service: TestService) -> Reply:
    tokens = await log_in(service)
    reply = await refresh(service, tokens["refresh_token"], {"X-Device-Id": "undefined"})
    assert reply.json()["field"] == "X-Device-Id"
    assert (await refresh(service, tokens["refresh_token"], {"X-Device-Id": ""})).status == 400
    return reply


@case("to log in: a wrong password")
async def _(service: TestService) -> Reply:
    login = {"username": "nobody", "password": PASSWORD}
    return await service.client.request("POST", "/auth/login", json=login)


@case("to log in: a body that does not fit")
async def _(service: TestService) -> Reply:
    return await service.client.request("POST", "/auth/login", json={"user": 1})


@case("to change the password: a wrong one, by its user")
async def _(service: TestService) -> Reply:
    headers = bearer(await log_in(service))
    passwords = {"current_password": "wrong password", "new_password": "staple battery horse"}
    return await service.client.request("PUT", "/users/me/password", json=passwords, headers=headers)


def test_the_table_and_the_cases_are_the_same() -> None:
    assert list(CASES) == list(table())


@pytest.mark.parametrize("shown", list(CASES))
def test_what_is_shown_is_answered_and_counted_as_the_table_says(
    run_real: Driver, monkeypatch: pytest.MonkeyPatch, shown: str
) -> None:
    monkeypatch.setattr("tests.adapters.web.service.RING", REPLACED)
    code, errors, violations = table()[shown]

    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        reply = await CASES[shown](service)
        assert (reply.status, reply.code) == (400 if code == "validation_failed" else 401, code)
        if reply.status == 401:
            assert reply.header("www-authenticate").startswith("Bearer")
        assert await errors_of(service) == errors
        charges = service.rate_limiter.charges_of(ADDRESS)
        assert (await service.limiter.status(ADDRESS, charges)).violations == violations
        await settled(service.rate_limiter)

    run_real(body)
