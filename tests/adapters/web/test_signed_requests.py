"""Requests of a key that must sign: good once, and only as they were signed."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping

import pytest

from adapters.runtime.system import SystemEntropy
from application.identity.api_keys import CreatedApiKey
from domain.identity.api_keys import Scope
from ports.runtime import Runtime
from tests.adapters.web.client import Reply
from tests.adapters.web.service import TestService, open_service
from tests.conformance.runtimes import Driver

BODY = b'{"name":"shop","scopes":["credits:read"]}'
OTHER_BODY = b'{"name":"evil","scopes":["admin"]}'


def digest_of(body: bytes) -> str:
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


class Signer:
    """Signs as a client would, from the RFC and not from our code."""

    def __init__(self, service: TestService, key: CreatedApiKey) -> None:
        assert key.signing_secret is not None
        self._service = service
        self._key = key
        self._secret = key.signing_secret.encode()

    def headers(
        self,
        method: str = "GET",
        target: str = "/api-keys",
        extra: Mapping[str, str] | None = None,
        *,
        nonce: str | None = None,
        after_s: int = 0,
    ) -> dict[str, str]:
        path, _, query = target.partition("?")
        covered = {"@method": method, "@authority": "service.example", "@path": path}
        if query:
            covered["@query"] = f"?{query}"
        covered |= extra or {}
        names = " ".join(f'"{name}"' for name in covered)
        created_s = self._service.clock.at_ms // 1000 + after_s
        nonce = nonce or SystemEntropy().token(16).hex()
        parameters = f'({names});created={created_s};keyid="{self._key.api_key.id}";nonce="{nonce}"'
        lines = [f'"{name}": {value}' for name, value in covered.items()]
        base = "\n".join([*lines, f'"@signature-params": {parameters}'])
        mac = base64.b64encode(hmac.digest(self._secret, base.encode(), "sha256")).decode()
        return {
            **(extra or {}),
            "x-api-key": self._key.text,
            "signature-input": f"sig={parameters}",
            "signature": f"sig=:{mac}:",
        }


async def a_signer(service: TestService) -> Signer:
    return Signer(service, await service.key(Scope.ADMIN, require_signature=True))


async def get(service: TestService, headers: Mapping[str, str], target: str = "/api-keys") -> Reply:
    return await service.client.request("GET", target, headers=headers)


async def post(service: TestService, headers: Mapping[str, str], body: bytes = BODY) -> Reply:
    items = {**headers, "content-type": "application/json"}
    return await service.client.request("POST", "/api-keys", body=body, headers=items)


def test_a_signed_request_is_answered_and_never_twice(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        signer = await a_signer(service)
        headers = signer.headers()
        assert (await get(service, headers)).status == 200
        again = await get(service, headers)
        assert (again.status, again.code) == (401, "invalid_signature")
        assert "nonce was used before" in again.json()["detail"]
        assert (await get(service, signer.headers())).status == 200

    run_real(body)


def test_the_key_alone_opens_nothing_on_any_route(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        key = await service.key(Scope.ADMIN, require_signature=True)
        for path in ("/", "/api-keys", "/nowhere"):
            reply = await get(service, {"x-api-key": key.text}, path)
            assert (reply.status, reply.code) == (401, "invalid_signature")
            assert reply.header("www-authenticate") == "Bearer"

    run_real(body)


def test_a_wrong_key_learns_nothing_of_signatures(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        headers = (await a_signer(service)).headers()
        wrong = {**headers, "x-api-key": headers["x-api-key"][:-52] + "0" * 52}
        assert (await get(service, wrong)).code == "invalid_credentials"
        # And uses up nobody's nonce.
        assert (await get(service, headers)).status == 200

    run_real(body)


def test_a_request_that_was_changed_on_its_way_is_refused_and_its_nonce_is_free(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        signer = await a_signer(service)
        headers = signer.headers(target="/api-keys?limit=1")
        for target in ("/api-keys", "/api-keys?limit=2", "/api-keys?limit=1&", "/users?limit=1"):
            assert (await get(service, headers, target)).code == "invalid_signature"
        moved = await service.client.request("DELETE", "/api-keys?limit=1", headers=headers)
        assert moved.code == "invalid_signature"
        assert (await get(service, headers, "/api-keys?limit=1")).status == 200

    run_real(body)


def test_a_path_is_signed_as_it_was_sent(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        signer = await a_signer(service)
        # Quart takes both for the same route; the signature does not.
        assert (await get(service, signer.headers(), "//api-keys")).code == "invalid_signature"
        assert (await get(service, signer.headers(target="//api-keys"), "//api-keys")).status == 200

    run_real(body)


@pytest.mark.parametrize(("after_s", "status"), [(-61, 401), (-60, 200), (60, 200), (61, 401)])
def test_a_signature_is_good_for_a_minute(run_real: Driver, after_s: int, status: int) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        signer = await a_signer(service)
        assert (await get(service, signer.headers(after_s=after_s))).status == status

    run_real(body)


def test_a_nonce_is_remembered_for_longer_than_its_signature_is_good(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        signer = await a_signer(service)
        headers = signer.headers(after_s=60)
        assert (await get(service, headers)).status == 200
        service.clock.at_ms += 120_000
        assert "used before" in (await get(service, headers)).json()["detail"]
        service.clock.at_ms += 60_000
        assert "a minute from now" in (await get(service, headers)).json()["detail"]

    run_real(body)


def test_a_body_is_the_one_that_was_signed(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        signer = await a_signer(service)
        covered = {"content-digest": digest_of(BODY)}
        assert (await post(service, signer.headers("POST", extra=covered), BODY)).status == 201
        changed = await post(service, signer.headers("POST", extra=covered), OTHER_BODY)
        assert (changed.status, changed.code) == (401, "invalid_signature")
        uncovered = {**signer.headers("POST"), "content-digest": digest_of(BODY)}
        assert (await post(service, uncovered, BODY)).code == "invalid_signature"
        assert (await post(service, signer.headers("POST"), BODY)).code == "invalid_signature"
        swapped = {**signer.headers("POST", extra=covered), "content-digest": digest_of(OTHER_BODY)}
        assert (await post(service, swapped, OTHER_BODY)).code == "invalid_signature"
        page = (await get(service, signer.headers())).json()["items"]
        assert sorted(key["name"] for key in page) == ["key", "shop"]

    run_real(body)


def test_an_idempotency_key_is_signed_where_it_is_sent(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        signer = await a_signer(service)
        covered = {"content-digest": digest_of(BODY)}
        slipped_in = {**signer.headers("POST", extra=covered), "idempotency-key": "k1"}
        assert (await post(service, slipped_in)).code == "invalid_signature"
        signed = signer.headers("POST", extra={**covered, "idempotency-key": "k1"})
        assert (await post(service, signed)).status == 201

    run_real(body)


def test_a_key_that_need_not_sign_is_not_asked_to(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        key = await service.key(Scope.ADMIN)
        headers = {"x-api-key": key.text, "signature-input": "nonsense", "signature": "nonsense"}
        assert (await get(service, headers)).status == 200

    run_real(body)


def test_the_signing_secret_is_shown_once(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        admin = {"X-API-Key": (await service.key(Scope.ADMIN)).text}
        made = await service.client.request(
            "POST",
            "/api-keys",
            json={"name": "shop", "scopes": ["credits:read"], "require_signature": True},
            headers=admin,
        )
        assert made.status == 201
        answer = made.json()
        assert answer["signing_secret"].startswith("cs_")
        assert answer["require_signature"] is True
        listed = await service.client.request("GET", "/api-keys", headers=admin)
        kept = {key["name"]: key for key in listed.json()["items"]}
        assert (kept["shop"]["require_signature"], kept["key"]["require_signature"]) == (True, False)
        assert "signing_secret" not in kept["shop"]
        assert answer["signing_secret"] not in listed.body.decode()

    run_real(body)
