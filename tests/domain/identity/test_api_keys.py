"""How service keys look, and which are good."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.identity.api_keys import (
    SECRET_BYTES,
    ApiKey,
    ApiKeyProblem,
    ApiKeyRejection,
    PresentedKey,
    Scope,
    api_key_problems,
    check_api_key,
    digest_of,
    format_api_key,
    parse_api_key,
    secret_of,
)
from domain.ids import RANDOMNESS_BYTES, time_ordered_id

NOW_MS = 1_000_000
SECRET = secret_of(b"s" * SECRET_BYTES)


def a_key(*, expires_ms: int | None = None, revoked_ms: int | None = None) -> ApiKey:
    return ApiKey(
        id="key_1",
        name="shop",
        scopes=frozenset({Scope.CREDITS_READ}),
        book="main",
        secret_digest=digest_of(SECRET),
        created_ms=0,
        created_by="system",
        expires_ms=expires_ms,
        revoked_ms=revoked_ms,
    )


@given(
    st.binary(min_size=SECRET_BYTES, max_size=SECRET_BYTES),
    st.binary(min_size=RANDOMNESS_BYTES, max_size=RANDOMNESS_BYTES),
)
def test_what_is_printed_is_read_back(secret_bytes: bytes, randomness: bytes) -> None:
    key_id, secret = time_ordered_id("key", NOW_MS, randomness), secret_of(secret_bytes)
    printed = format_api_key(key_id, secret)
    assert printed.startswith("ck_")
    assert parse_api_key(printed) == PresentedKey(id=key_id, secret=secret)
    assert secret not in repr(parse_api_key(printed))


@pytest.mark.parametrize(
    "text", ["", "ck_", "ck_a_b", "sk_" + "0" * 26 + "_" + "0" * 52, "ck_" + "0" * 26 + "_" + "0" * 52 + "\n",
             "ck_" + "0" * 26 + "_" + "0" * 51, "ck_" + "0" * 25 + "A_" + "0" * 52],
)  # fmt: skip
def test_these_are_not_keys(text: str) -> None:
    assert parse_api_key(text) is None


def test_a_secret_has_256_bits() -> None:
    with pytest.raises(ValueError):
        secret_of(b"s" * (SECRET_BYTES - 1))


@pytest.mark.parametrize(
    ("key", "secret", "rejection"),
    [
        (a_key(), SECRET, None),
        (a_key(expires_ms=NOW_MS + 1), SECRET, None),
        (None, SECRET, ApiKeyRejection.UNKNOWN),
        (a_key(revoked_ms=1), "0" * 52, ApiKeyRejection.WRONG_SECRET),
        (a_key(revoked_ms=1, expires_ms=1), SECRET, ApiKeyRejection.REVOKED),
        (a_key(expires_ms=NOW_MS), SECRET, ApiKeyRejection.EXPIRED),
    ],
)
def test_a_key_is_refused_for_its_first_fault(
    key: ApiKey | None, secret: str, rejection: ApiKeyRejection | None
) -> None:
    assert check_api_key(key, PresentedKey(id="key_1", secret=secret), NOW_MS) is rejection


def test_every_problem_of_a_wish_is_told_at_once() -> None:
    assert api_key_problems(
        name="", scopes=frozenset(), book="a b", expires_ms=NOW_MS, now_ms=NOW_MS
    ) == tuple(ApiKeyProblem)
    wish = frozenset({Scope.ADMIN})
    assert api_key_problems(name="Shop №1", scopes=wish, book="main", expires_ms=None, now_ms=NOW_MS) == ()


@pytest.mark.parametrize("name", ["x" * 65, "a\nb", "a\0", "a\ud800"])
def test_these_are_not_names_of_keys(name: str) -> None:
    wish = frozenset({Scope.ADMIN})
    problems = api_key_problems(name=name, scopes=wish, book="main", expires_ms=None, now_ms=NOW_MS)
    assert problems == (ApiKeyProblem.NAME,)


def test_the_scopes_are_the_documented_ones() -> None:
    assert {scope.value for scope in Scope} == {
        "credits:read", "credits:write", "users:read", "users:write", "realtime:publish", "admin",
    }  # fmt: skip
