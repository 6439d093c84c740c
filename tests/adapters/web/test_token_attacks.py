"""Forged and bent access tokens, sent to a whole service: each is 401 and nothing more.

The attacker has a genuine token of their own and the public keys. Where a test signs with the service's own
key, what is wrong lies in what was signed: a signature alone makes no token good.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jwt
import pytest

from adapters.crypto.derivation import derived_key
from domain.identity.tokens import SigningAlgorithm
from ports.runtime import Runtime
from tests.adapters.web.service import RING, START_MS, Options, TestService, open_service
from tests.conformance.runtimes import Driver

NOW_S = START_MS // 1000
SECRET = derived_key(RING[0].secret, "token-signing/HS256")
Claims = dict[str, Any]


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def written(value: object) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value, separators=(",", ":")).encode()


def signed(header: object, payload: object, key: bytes = SECRET) -> str:
    """HMAC-SHA256 over anything at all."""
    text = f"{encoded(written(header))}.{encoded(written(payload))}"
    return f"{text}.{encoded(hmac.digest(key, text.encode(), hashlib.sha256))}"


@dataclass(frozen=True)
class Attacker:
    service: TestService
    genuine: str
    refresh: str
    device: Mapping[str, str]

    @property
    def header(self) -> Claims:
        header: Claims = json.loads(decoded(self.genuine.split(".")[0]))
        return header

    @property
    def claims(self) -> Claims:
        claims: Claims = json.loads(decoded(self.genuine.split(".")[1]))
        return claims

    @property
    def parts(self) -> tuple[str, str, str]:
        header, payload, signature = self.genuine.split(".")
        return header, payload, signature

    async def says(self, token: str) -> tuple[int, str]:
        headers = {"Authorization": f"Bearer {token}", **self.device}
        reply = await self.service.client.request("GET", "/users/me", headers=headers)
        return reply.status, "" if reply.status == 200 else reply.code


async def an_attacker(runtime: Runtime, algorithm: SigningAlgorithm = SigningAlgorithm.HS256) -> Attacker:
    service = open_service(runtime, Options(ip="100000/60s", algorithm=algorithm))
    await service.register()
    reply = await service.client.request(
        "POST", "/auth/login", json={"username": "ada", "password": "correct horse battery"}
    )
    tokens = reply.json()
    device = {"X-Device-Id": tokens["device_id"]}
    return Attacker(service, tokens["access_token"], tokens["refresh_token"], device)


def refused(run: Driver, forge: Callable[[Attacker], str]) -> None:
    async def body(runtime: Runtime) -> None:
        attacker = await an_attacker(runtime)
        assert await attacker.says(attacker.genuine) == (200, "")
        assert await attacker.says(forge(attacker)) == (401, "invalid_token")

    run(body)


def test_what_these_tests_sign_is_believed_where_nothing_is_wrong_with_it(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        attacker = await an_attacker(runtime)
        assert await attacker.says(signed(attacker.header, attacker.claims)) == (200, "")

    run_real(body)


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "", None, " none", ["none"], 0, False])
@pytest.mark.parametrize("signature", ["", "genuine"])
def test_no_spelling_of_none_needs_no_signature(run_real: Driver, alg: object, signature: str) -> None:
    def forge(attacker: Attacker) -> str:
        kept = attacker.parts[2] if signature else ""
        header = encoded(written({**attacker.header, "alg": alg}))
        return f"{header}.{attacker.parts[1]}.{kept}"

    refused(run_real, forge)


@pytest.mark.parametrize(
    "form",
    ["{h}.{p}.", "{h}.{p}", "{h}..{s}", ".{p}.{s}", "..", "", "{h}.{p}.{s}.{s}", "{h}.{p}.{p}.{s}.{s}",
     "{h}.{p}.{half}", "{h}.{p}.{zeros}", "{p}.{h}.{s}", "{s}.{p}.{h}"],
)  # fmt: skip
def test_a_signature_that_is_missing_cut_or_moved_is_none(run_real: Driver, form: str) -> None:
    def forge(attacker: Attacker) -> str:
        header, payload, signature = attacker.parts
        half, zeros = encoded(decoded(signature)[:16]), encoded(bytes(32))
        return form.format(h=header, p=payload, s=signature, half=half, zeros=zeros)

    refused(run_real, forge)


@pytest.mark.parametrize("alg", ["RS256", "ES256", "PS256", "EdDSA", "HS512", "HS384", "hs256", "HS256 "])
def test_the_algorithm_is_told_by_the_key_and_not_by_the_header(run_real: Driver, alg: str) -> None:
    refused(run_real, lambda attacker: signed({**attacker.header, "alg": alg}, attacker.claims))


def test_a_public_key_is_no_hmac_secret(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        attacker = await an_attacker(runtime, SigningAlgorithm.EDDSA)
        assert await attacker.says(attacker.genuine) == (200, "")
        (public,) = (await attacker.service.client.request("GET", "/.well-known/jwks.json")).json()["keys"]
        key = jwt.PyJWK.from_dict(public).key
        pem = key.public_bytes_raw()
        for secret in (pem, public["x"].encode(), json.dumps(public).encode()):
            for alg in ("HS256", "EdDSA"):
                token = signed({**attacker.header, "alg": alg}, attacker.claims, secret)
                assert await attacker.says(token) == (401, "invalid_token")

    run_real(body)


@pytest.mark.parametrize(
    "kid",
    ["../../../../dev/null", "/dev/null", "' OR 1=1 --", "x" * 400, "x" * 3_000, "", None, 7, True, [], {},
     ["kid"], {"$ne": None}, "http://203.0.113.1/key", "\x00", "\ud800"],
)  # fmt: skip
@pytest.mark.parametrize("secret", [SECRET, b"", bytes(32)])
def test_a_key_is_found_by_our_own_names_only(run_real: Driver, kid: object, secret: bytes) -> None:
    refused(run_real, lambda attacker: signed({**attacker.header, "kid": kid}, attacker.claims, secret))


@pytest.mark.parametrize(
    "extra",
    [
        {"jwk": {"kty": "oct", "k": encoded(b"k" * 32)}},
        {"jku": "https://203.0.113.1/keys"},
        {"x5u": "https://203.0.113.1/cert"},
        {"x5c": ["MIIB"]},
        {"crit": ["exp"]},
        {"crit": []},
        {"b64": False},
        {"zip": "DEF"},
        {"cty": "JWT"},
        {"enc": "A256GCM"},
    ],
)
@pytest.mark.parametrize("secret", [SECRET, b"k" * 32])
def test_a_header_brings_no_key_and_no_demands(
    run_real: Driver, extra: Mapping[str, object], secret: bytes
) -> None:
    refused(run_real, lambda attacker: signed({**attacker.header, **extra}, attacker.claims, secret))


def test_other_spellings_of_the_same_bytes_are_not_the_token(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        attacker = await an_attacker(runtime)
        header, payload, signature = attacker.parts
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        stray = signature[:-1] + alphabet[alphabet.index(signature[-1]) ^ 1]
        assert decoded(stray) == decoded(signature)
        padded = encoded(decoded(payload) + b" ")
        assert await attacker.says(attacker.genuine) == (200, "")
        for token in (
            f"{header}.{payload}.{stray}",
            f"{header}.{payload}.{signature}=",
            f"{header}=.{payload}.{signature}",
            f"{header}==.{payload}.{signature}",
            f"{header}.{payload}=.{signature}",
            f"{header}.{padded}.{signature}",
            f"{header}.{payload[:10]} {payload[10:]}.{signature}",
            f"{header}.{payload[:10]}\t{payload[10:]}.{signature}",
            f"{header}.{payload.replace('_', '/')}.{signature}A",
            f"{header}.{payload}.{signature}%00",
        ):
            assert await attacker.says(token) == (401, "invalid_token"), token

    run_real(body)


@pytest.mark.parametrize("size", [4_097, 10_000])
def test_a_token_of_ten_kilobytes_is_not_looked_into(run_real: Driver, size: int) -> None:
    def forge(attacker: Attacker) -> str:
        token = signed(attacker.header, {**attacker.claims, "pad": "x" * size})
        assert len(token) > size
        return token

    refused(run_real, forge)


@pytest.mark.parametrize(
    "payload",
    [b"[" * 2_500, b'{"a":' * 500 + b"1" + b"}" * 500 + b"]", b'{"a":' * 550, b"{}", b"[]", b"null", b'"x"',
     b"1", b"", b"\xff\xfe", '{"iss":"credit-system"}'.encode("utf-16")],
)  # fmt: skip
def test_json_that_is_deep_broken_or_no_object_is_refused_though_signed(
    run_real: Driver, payload: bytes
) -> None:
    refused(run_real, lambda attacker: signed(attacker.header, payload))
    refused(run_real, lambda attacker: signed(payload, attacker.claims))


@pytest.mark.parametrize("name", ["sub", "exp", "iss", "roles", "sid"])
def test_a_claim_that_stands_twice_is_no_claim(run_real: Driver, name: str) -> None:
    def forge(attacker: Attacker) -> str:
        text = written(attacker.claims)
        value = written({name: attacker.claims[name]})
        return signed(attacker.header, text[:-1] + b"," + value[1:])

    refused(run_real, forge)


@pytest.mark.parametrize("name", ["alg", "kid", "typ"])
def test_a_header_that_stands_twice_is_no_header(run_real: Driver, name: str) -> None:
    def forge(attacker: Attacker) -> str:
        text = written(attacker.header)
        value = written({name: attacker.header[name]})
        return signed(text[:-1] + b"," + value[1:], attacker.claims)

    refused(run_real, forge)


BENT: Mapping[str, Sequence[object]] = {
    "aud": ("", "other", "credit-system ", ["credit-system"], None, {}),
    "iss": ("credit-syste", "credit-system.evil", "Credit-System", None, []),
    "exp": (1e30, 10**30, -1, 0, "1800000300", NOW_S + 300.0, NOW_S + 301, None, True, []),
    "iat": (NOW_S + 31, NOW_S + 10**9, -(10**30), "0", 1.5, None),
    "nbf": (NOW_S + 31, NOW_S + 10**9, "0", 1.5, None, True, []),
    "ver": ("1", 1.0, None, True),
    "roles": ("admin", ["root"], [["admin"]], {"admin": 1}, None),
    "sub": ("", {"$ne": None}, ["usr"], None, "a" * 65, "usr\x00", "\ud800"),
    "dev": ("", None, 1, {"$ne": None}),
    "sid": ("", None, {"$gt": ""}),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in BENT for value in BENT[name]])
def test_a_claim_of_another_kind_or_from_another_time_is_refused_though_signed(
    run_real: Driver, name: str, value: object
) -> None:
    refused(run_real, lambda attacker: signed(attacker.header, {**attacker.claims, name: value}))


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"1E30", b"-0.0"])
@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
def test_numbers_that_json_does_not_have_are_no_times(run_real: Driver, name: str, number: bytes) -> None:
    def forge(attacker: Attacker) -> str:
        claims = {known: value for known, value in attacker.claims.items() if known != name}
        return signed(attacker.header, written(claims)[:-1] + b',"%b":%b}' % (name.encode(), number))

    refused(run_real, forge)


@pytest.mark.parametrize("typ", ["JWT", "ws+jwt", "AT+JWT", "application/at+jwt", None, 1, ["at+jwt"]])
def test_a_token_of_another_type_is_no_access_token(run_real: Driver, typ: object) -> None:
    refused(run_real, lambda attacker: signed({**attacker.header, "typ": typ}, attacker.claims))


def test_tokens_of_one_use_have_no_other(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        attacker = await an_attacker(runtime)
        client = attacker.service.client
        headers = {"Authorization": f"Bearer {attacker.genuine}", **attacker.device}
        socket = (await client.request("POST", "/auth/websocket-token", headers=headers)).json()["token"]
        for token in (attacker.refresh, socket):
            assert await attacker.says(token) == (401, "invalid_token")
        for token in (attacker.genuine, socket, attacker.refresh[:-1], attacker.refresh + "."):
            reply = await client.request(
                "POST", "/auth/refresh", json={"refresh_token": token}, headers=attacker.device
            )
            assert (reply.status, reply.code) == (401, "invalid_token")
        # Nothing of this has harmed the session.
        assert await attacker.says(attacker.genuine) == (200, "")

    run_real(body)


def test_a_body_of_another_token_does_not_go_under_this_signature(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        attacker = await an_attacker(runtime)
        other = await attacker.service.login("bob")
        header, _, signature = attacker.parts
        payload = other["Authorization"].split(".")[1]
        assert await attacker.says(f"{header}.{payload}.{signature}") == (401, "invalid_token")
        # Nor does what was once believed make a similar text good.
        assert await attacker.says(attacker.genuine) == (200, "")
        for place in range(0, len(attacker.genuine), 37):
            changed = "A" if attacker.genuine[place] != "A" else "B"
            token = attacker.genuine[:place] + changed + attacker.genuine[place + 1 :]
            assert await attacker.says(token) == (401, "invalid_token")

    run_real(body)


def test_the_public_keys_are_public_and_hold_nothing_else(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        symmetric = open_service(runtime)
        reply = await symmetric.client.request("GET", "/.well-known/jwks.json")
        assert (reply.status, reply.json()) == (200, {"keys": []})
        assert reply.header("cache-control") == "public, max-age=60"
        asymmetric = open_service(runtime, Options(algorithm=SigningAlgorithm.EDDSA))
        headers = await asymmetric.login()
        (key,) = (await asymmetric.client.request("GET", "/.well-known/jwks.json")).json()["keys"]
        assert key.keys() == {"kty", "crv", "use", "alg", "kid", "x"}
        token = headers["Authorization"].removeprefix("Bearer ")
        claims = jwt.decode(
            token,
            jwt.PyJWK.from_dict(key),
            algorithms=["EdDSA"],
            audience="credit-system",
            options={"verify_exp": False, "verify_iat": False},
        )
        assert claims["iss"] == "credit-system"

    run_real(body)
