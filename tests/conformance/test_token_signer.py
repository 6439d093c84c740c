"""What signing tokens promises: only exactly what we signed is believed."""

from __future__ import annotations

import base64
import json
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.crypto.jwt import HEADERS_REMEMBERED_MAX, JwtSigner, SigningKey
from domain.identity.tokens import SigningAlgorithm
from ports.identity.token_signer import SignedToken

SECRET, OTHER_SECRET = b"s" * 32, b"o" * 32
SEED = bytes(range(32))
HS256 = SigningKey("h1", SECRET)
EDDSA = SigningKey("e1", SEED, SigningAlgorithm.EDDSA)
HEADER = {"typ": "at+jwt"}
CLAIMS = {"sub": "usr_1", "exp": 5}


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def signed_by_pyjwt(secret: bytes = SECRET, **header: Any) -> str:
    """A token that is genuine in everything but what the header says."""
    return jwt.encode(CLAIMS, secret, algorithm="HS256", headers={"typ": "at+jwt", "kid": "h1", **header})


@pytest.mark.parametrize("key", [HS256, EDDSA])
def test_what_is_signed_is_verified_and_any_jwt_library_agrees(key: SigningKey) -> None:
    signer = JwtSigner(keys=[key])
    token = signer.sign(HEADER, CLAIMS)
    whole = {"alg": key.algorithm.value, "kid": key.kid, "typ": "at+jwt"}
    assert signer.verify(token) == SignedToken(header=whole, claims=CLAIMS)
    assert signer.verify(token) == SignedToken(header=whole, claims=CLAIMS)
    assert jwt.get_unverified_header(token) == whole


def test_a_token_of_a_jwt_library_is_verified() -> None:
    got = JwtSigner(keys=[HS256]).verify(signed_by_pyjwt())
    assert got is not None
    assert got.claims == CLAIMS


def test_the_first_key_signs_and_every_key_of_the_ring_verifies() -> None:
    old = JwtSigner(keys=[HS256]).sign(HEADER, CLAIMS)
    ring = JwtSigner(keys=[EDDSA, HS256])
    assert ring.verify(old) is not None
    new = ring.sign(HEADER, CLAIMS)
    assert jwt.get_unverified_header(new)["kid"] == "e1"
    assert JwtSigner(keys=[HS256]).verify(new) is None


def test_a_key_is_used_with_its_own_algorithm_only() -> None:
    ring = JwtSigner(keys=[EDDSA, HS256])
    assert ring.verify(signed_by_pyjwt(kid="e1")) is None
    assert ring.verify(signed_by_pyjwt(secret=OTHER_SECRET)) is None
    unsigned = f"{encoded({'alg': 'none', 'kid': 'h1', 'typ': 'at+jwt'})}.{encoded(CLAIMS)}."
    assert ring.verify(unsigned) is None


@pytest.mark.parametrize(
    "header",
    [
        {"kid": "unknown"}, {"kid": None}, {"kid": ""}, {"crit": ["exp"]}, {"jku": "https://evil.example"},
        {"jwk": {"kty": "oct", "k": "AA"}}, {"x5u": "https://evil.example"}, {"cty": "JWT"},
        {"kid": "h1", "pad": "x" * 600},
    ],
)  # fmt: skip
def test_a_header_with_anything_but_ours_is_refused(header: dict[str, Any]) -> None:
    try:
        token = signed_by_pyjwt(**header)
    except jwt.InvalidTokenError:
        # PyJWT will not make this one; the hostile do it by hand.
        full = {"alg": "HS256", "typ": "at+jwt", **header}
        token = f"{encoded(full)}.{encoded(CLAIMS)}.{'A' * 43}"
    assert JwtSigner(keys=[HS256]).verify(token) is None


@given(st.data())
def test_no_other_spelling_of_a_token_is_believed(data: st.DataObject) -> None:
    signer = JwtSigner(keys=[HS256])
    token = signer.sign(HEADER, CLAIMS)
    assert signer.verify(token) is not None
    at = data.draw(st.integers(0, len(token) - 1))
    change = data.draw(st.text(max_size=3).filter(lambda text: text != token[at]))
    assert signer.verify(token[:at] + change + token[at + 1 :]) is None


def test_padding_and_stray_bits_are_refused() -> None:
    signer = JwtSigner(keys=[HS256])
    token = signer.sign(HEADER, CLAIMS)
    head, payload, signature = token.split(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    # 43 digits carry 258 bits: the last two of them are spare.
    stray = signature[:-1] + alphabet[alphabet.index(signature[-1]) ^ 1]
    assert base64.urlsafe_b64decode(stray + "=") == base64.urlsafe_b64decode(signature + "=")
    for spelling in (
        f"{head}.{payload}.{stray}",
        token + "=",
        f"{head}=.{payload}.{signature}",
        token + "\n",
    ):
        assert signer.verify(spelling) is None


@given(st.text() | st.text(alphabet="AaeyJ0-_.=", max_size=200))
def test_hostile_text_is_refused_and_never_raises(text: str) -> None:
    assert JwtSigner(keys=[HS256]).verify(text) is None


@pytest.mark.parametrize(
    "text", ["[" * 20_000, "." * 5_000, "a" * 4_097, f"{encoded({'kid': 'h1'})}..", ".".join(["e30"] * 4)]
)
def test_bounded_text_of_any_shape_is_refused(text: str) -> None:
    assert JwtSigner(keys=[HS256]).verify(text) is None


@pytest.mark.parametrize("payload", [b"[]", b"7", b"{", b"\xff", b"[" * 2_000])
def test_a_payload_that_is_no_object_is_refused_though_signed(payload: bytes) -> None:
    header = {"typ": "at+jwt", "kid": "h1"}
    token = jwt.PyJWS().encode(payload, SECRET, algorithm="HS256", headers=header)
    assert JwtSigner(keys=[HS256]).verify(token) is None


def test_only_headers_that_were_signed_are_remembered() -> None:
    signer = JwtSigner(keys=[HS256])
    forged = f"{encoded({'alg': 'HS256', 'kid': 'h1', 'typ': 'x'})}.{encoded(CLAIMS)}.{'A' * 43}"
    assert signer.verify(forged) is None
    assert signer._headers == {}
    for number in range(HEADERS_REMEMBERED_MAX + 5):
        assert signer.verify(signer.sign({"typ": f"t{number}"}, CLAIMS)) is not None
    assert len(signer._headers) == HEADERS_REMEMBERED_MAX


@pytest.mark.parametrize(
    "keys",
    [[], [HS256, SigningKey("h1", OTHER_SECRET)], [SigningKey("h1", b"short")],
     [SigningKey("e1", b"not a key", SigningAlgorithm.EDDSA)]],
)  # fmt: skip
def test_a_ring_that_cannot_sign_safely_is_an_error(keys: list[SigningKey]) -> None:
    with pytest.raises(ValueError):
        JwtSigner(keys=keys)


def test_a_key_does_not_show_itself() -> None:
    assert "ssss" not in repr(HS256)
