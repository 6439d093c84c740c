"""What a token must say to be believed, and how refresh tokens are derived."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.identity.tokens import (
    CLOCK_SKEW_S_MAX,
    TokenClaims,
    TokenKind,
    TokenPolicy,
    TokenRejection,
    claims_of,
    device_fingerprint,
    header_of,
    is_genuine,
    is_same_device,
    parse_refresh_token,
    read_claims,
    refresh_token,
)
from domain.identity.users import Role

POLICY = TokenPolicy(issuer="us", audience="you")
NOW_S = 1_800_000_000
KEY, OTHER_KEY = b"k" * 32, b"o" * 32
CLAIMS = TokenClaims(
    kind=TokenKind.ACCESS,
    user_id="usr_1",
    session_id="ses_1",
    token_id="tok_1",
    roles=frozenset({Role.USER, Role.ADMIN}),
    credential_version=3,
    issued_s=NOW_S,
    expires_s=NOW_S + 300,
    device=device_fingerprint(KEY, "ses_1", "device-0123456789"),
)
MISSING = object()


def read(
    claims: dict[str, object], *, header: dict[str, object] | None = None, now_s: int = NOW_S
) -> TokenClaims | TokenRejection:
    return read_claims(
        header_of(TokenKind.ACCESS) if header is None else header,
        claims,
        kinds=(TokenKind.ACCESS,),
        policy=POLICY,
        now_s=now_s,
    )


def changed(name: str, value: object) -> dict[str, object]:
    claims = {**claims_of(CLAIMS, POLICY), name: value}
    if value is MISSING:
        del claims[name]
    return claims


@pytest.mark.parametrize("kind", list(TokenKind))
def test_what_is_written_is_read_back(kind: TokenKind) -> None:
    claims = replace(CLAIMS, kind=kind, expires_s=NOW_S + kind.lifetime_s)
    got = read_claims(
        header_of(kind), claims_of(claims, POLICY), kinds=tuple(TokenKind), policy=POLICY, now_s=NOW_S
    )
    assert got == claims


@pytest.mark.parametrize(
    ("name", "value", "rejection"),
    [
        *[("iss", value, TokenRejection.WRONG_ISSUER) for value in (MISSING, "them", None, ["us"])],
        *[("aud", value, TokenRejection.WRONG_AUDIENCE) for value in (MISSING, "them", None, ["you"])],
        *[
            (name, value, TokenRejection.MALFORMED_CLAIMS)
            for name in ("sub", "sid", "jti", "dev")
            for value in (MISSING, None, 7, "", "a b", "x" * 65, ["usr_1"])
        ],
        *[
            (name, value, TokenRejection.MALFORMED_CLAIMS)
            for name in ("iat", "exp", "ver")
            for value in (MISSING, None, True, str(NOW_S + 60), float(NOW_S), NOW_S + 0.5, [NOW_S])
        ],
        *[
            ("roles", value, TokenRejection.MALFORMED_CLAIMS)
            for value in (MISSING, None, "admin", ["root"], [7], [["user"]], {"user": 1})
        ],
        ("exp", NOW_S + 301, TokenRejection.IMPLAUSIBLE_TIMES),
        ("exp", 2**80, TokenRejection.IMPLAUSIBLE_TIMES),
        ("exp", NOW_S, TokenRejection.IMPLAUSIBLE_TIMES),
        ("exp", -5, TokenRejection.IMPLAUSIBLE_TIMES),
        ("iat", NOW_S + CLOCK_SKEW_S_MAX + 1, TokenRejection.IMPLAUSIBLE_TIMES),
    ],
)
def test_a_claim_that_is_not_exactly_right_refuses_the_token(
    name: str, value: object, rejection: TokenRejection
) -> None:
    assert read(changed(name, value)) is rejection


@pytest.mark.parametrize("typ", [None, "JWT", "AT+JWT", "application/at+jwt", "ws+jwt", 7, ["at+jwt"]])
def test_a_token_of_another_type_is_refused(typ: Any) -> None:
    assert read(claims_of(CLAIMS, POLICY), header={"typ": typ}) is TokenRejection.WRONG_TYPE


def test_a_token_ends_at_its_last_second() -> None:
    claims = claims_of(CLAIMS, POLICY)
    assert read(claims, now_s=CLAIMS.expires_s - 1) == CLAIMS
    assert read(claims, now_s=CLAIMS.expires_s) is TokenRejection.EXPIRED


def test_a_clock_slightly_behind_still_believes() -> None:
    assert read(claims_of(CLAIMS, POLICY), now_s=NOW_S - CLOCK_SKEW_S_MAX) == CLAIMS


# --- devices


def test_a_fingerprint_belongs_to_one_device_session_and_key() -> None:
    assert is_same_device([KEY], CLAIMS, "device-0123456789")
    assert not is_same_device([KEY], CLAIMS, "device-0123456780")
    assert not is_same_device([KEY], CLAIMS, None)
    assert not is_same_device([KEY], CLAIMS, "device 0123456789\udcff")
    assert not is_same_device([OTHER_KEY], CLAIMS, "device-0123456789")
    assert not is_same_device([KEY], replace(CLAIMS, session_id="ses_2"), "device-0123456789")


# --- refresh tokens


@given(st.integers(min_value=1, max_value=10**9))
def test_a_successor_is_always_the_same_and_of_its_generation_only(generation: int) -> None:
    text = refresh_token(KEY, "ses_1", generation)
    assert text == refresh_token(KEY, "ses_1", generation)
    assert text != refresh_token(KEY, "ses_1", generation + 1)
    parsed = parse_refresh_token(text)
    assert parsed is not None
    assert (parsed.session_id, parsed.generation) == ("ses_1", generation)
    assert is_genuine([KEY], parsed)
    assert is_genuine([OTHER_KEY, KEY], parsed)
    assert not is_genuine([OTHER_KEY], parsed)


@given(st.data())
def test_a_refresh_token_with_any_character_changed_is_not_genuine(data: st.DataObject) -> None:
    text = refresh_token(KEY, "ses_1", 12)
    at = data.draw(st.integers(0, len(text) - 1))
    character = data.draw(st.characters(min_codepoint=33, max_codepoint=126).filter(lambda c: c != text[at]))
    parsed = parse_refresh_token(text[:at] + character + text[at + 1 :])
    assert parsed is None or not is_genuine([KEY], parsed)


@pytest.mark.parametrize(
    "text",
    ["", "rt_", "rt_ses_1.1", "rt_ses_1.0." + "A" * 43, "rt_ses_1.01." + "A" * 43, "rt_ses_1.1." + "A" * 42,
     "rt_.1." + "A" * 43, "rt_s.1." + "A" * 43 + "=", "rt_s.1." + "A" * 43 + "\n",
     "rt_s.99999999999." + "A" * 43, "rt_s.٣." + "A" * 43, "ck_s.1." + "A" * 43],
)  # fmt: skip
def test_these_are_not_refresh_tokens(text: str) -> None:
    assert parse_refresh_token(text) is None


def test_a_refresh_token_does_not_show_itself() -> None:
    parsed = parse_refresh_token(refresh_token(KEY, "ses_1", 1))
    assert parsed is not None
    assert parsed.text not in repr(parsed)
