"""Signatures of requests: the RFC's own vectors, and everything that is not exactly right."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.identity.request_signing import (
    WINDOW_MS,
    HttpRequest,
    RequestSignature,
    SignatureRejection,
    check_signature,
    is_digest_of,
    read_signature,
    signature_base,
)

NOW_S = 1_800_000_000
SECRET = b"cs_secret"
KEY_ID = "key_1"
NONCE = "n" * 16
COVERED = '"@method" "@authority" "@path" "@query" "content-digest"'
REQUEST = HttpRequest(
    method="POST",
    scheme="http",
    path="/credits/transfers",
    query="dry=1",
    headers={"host": ("api.example",), "content-digest": ("sha-256=:x:",), "accept": ("a", " b ")},
)


def with_headers(request: HttpRequest, **headers: str) -> HttpRequest:
    named = {name.replace("_", "-"): (value,) for name, value in headers.items()}
    return replace(request, headers={**request.headers, **named})


def parameters(covered: str = COVERED, *, created: object = NOW_S, more: str = "") -> str:
    return f'({covered});created={created};keyid="{KEY_ID}";nonce="{NONCE}"{more}'


def signed(
    request: HttpRequest = REQUEST, text: str | None = None, *, scheme: str = "http", secret: bytes = SECRET
) -> HttpRequest:
    """Signed over what the domain says is to be signed; the RFC's vectors hold that part."""
    text = parameters() if text is None else text
    shown = with_headers(request, signature_input=f"sig={text}", signature=f"sig=:{'A' * 43}=:")
    signature = read_signature(shown)
    assert isinstance(signature, RequestSignature), text
    base = signature_base(signature, request, scheme)
    mac = hmac.digest(secret, base or b"", hashlib.sha256)
    return with_headers(shown, signature=f"sig=:{base64.b64encode(mac).decode()}:")


def check(
    request: HttpRequest, *, now_ms: int = NOW_S * 1000, key_id: str = KEY_ID
) -> SignatureRejection | None:
    signature = read_signature(request)
    if isinstance(signature, SignatureRejection):
        return signature
    return check_signature(signature, request, key_id=key_id, secret=SECRET, now_ms=now_ms)


def test_the_vector_of_rfc_9421_b_2_5() -> None:
    secret = base64.b64decode(
        "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ=="
    )
    request = HttpRequest(
        "POST",
        "https",
        "/foo",
        "param=Value&Pet=dog",
        {
            "host": ("example.com",),
            "date": ("Tue, 20 Apr 2021 02:07:55 GMT",),
            "content-type": ("application/json",),
        },
    )
    text = '("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret"'
    mac = base64.b64decode("pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=")
    components = ("date", "@authority", "content-type")
    signature = RequestSignature(components, text, 1618884473, None, "test-shared-secret", "", mac)
    base = signature_base(signature, request, "https")
    assert base == (
        b'"date": Tue, 20 Apr 2021 02:07:55 GMT\n'
        b'"@authority": example.com\n"content-type": application/json\n'
        b'"@signature-params": ' + text.encode()
    )
    assert hmac.digest(secret, base, hashlib.sha256) == mac


@pytest.mark.parametrize(
    ("component", "value"),
    [
        ("@method", "POST"),
        ("@authority", "api.example"),
        ("@scheme", "https"),
        ("@path", "/credits/transfers"),
        ("@query", "?dry=1"),
        ("@target-uri", "https://api.example/credits/transfers?dry=1"),
        ("accept", "a, b"),
    ],
)
def test_components_have_the_values_of_rfc_9421_2(component: str, value: str) -> None:
    signature = RequestSignature((component,), "()", 1, None, "", "", b"")
    expected = f'"{component}": {value}\n"@signature-params": ()'.encode()
    assert signature_base(signature, REQUEST, "https") == expected


@pytest.mark.parametrize(("host", "scheme"), [("API.example:443", "https"), ("api.EXAMPLE:80", "http")])
def test_a_default_port_and_the_case_of_a_host_do_not_matter(host: str, scheme: str) -> None:
    as_signed = signed(text=parameters('"@method" "@target-uri"'), scheme=scheme)
    assert check(with_headers(as_signed, host=host)) is None
    assert check(with_headers(as_signed, host="api.example:8443")) is SignatureRejection.WRONG


def test_a_request_without_path_and_query_has_the_shortest_ones() -> None:
    request = replace(REQUEST, path="", query="")
    signature = RequestSignature(("@path", "@query", "@target-uri"), "()", 1, None, "", "", b"")
    assert signature_base(signature, request, "http") == (
        b'"@path": /\n"@query": ?\n"@target-uri": http://api.example/\n"@signature-params": ()'
    )


def test_the_digests_of_rfc_9530() -> None:
    body = b'{"hello": "world"}\n'
    assert is_digest_of("sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:", body)
    assert not is_digest_of("sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:", body + b" ")
    rfc_9421 = b'{"hello": "world"}'
    assert is_digest_of(
        "sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:",
        rfc_9421,
    )
    assert is_digest_of("sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:", rfc_9421)


@pytest.mark.parametrize(
    "text", ["", "sha-256", "sha-256=::", "md5=:XrY7u+Ae7tCTyyK7j1rNww==:", "sha-256=:AAAA:, sha-512=:AAAA:",
             "unixsum=:AAAA:", "SHA-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:",
             "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE:"]
)  # fmt: skip
def test_another_digest_is_none(text: str) -> None:
    assert not is_digest_of(text, b'{"hello": "world"}')


def test_a_good_signature_is_good_under_either_scheme() -> None:
    assert check(signed()) is None
    for scheme in ("http", "https"):
        assert check(signed(text=parameters('"@method" "@target-uri"'), scheme=scheme)) is None
    assert check(signed(text=parameters(more=';alg="hmac-sha256";tag="shop"'))) is None
    assert check(signed(text=parameters(more=f";expires={NOW_S + 1}"))) is None


@given(st.data())
def test_whatever_was_signed_cannot_be_changed(data: st.DataObject) -> None:
    request = signed()
    change = data.draw(
        st.sampled_from(
            [
                replace(request, method="PUT"),
                replace(request, path="/credits/transfers/"),
                replace(request, path="/credits%2Ftransfers"),
                replace(request, query="dry=0"),
                replace(request, query=""),
                with_headers(request, host="other.example"),
                with_headers(request, content_digest="sha-256=:y:"),
                with_headers(request, signature_input="sig=" + parameters(created=NOW_S + 1)),
                with_headers(
                    request, signature_input="sig=" + parameters('"@method" "@authority" "@path" "@query"')
                ),
            ]
        )
    )
    assert check(change) is SignatureRejection.WRONG


@given(st.integers(0, 31), st.integers(1, 255))
def test_no_other_mac_is_taken(place: int, flip: int) -> None:
    request = signed()
    mac = bytearray(base64.b64decode(request.headers["signature"][0][5:-1]))
    mac[place] ^= flip
    changed = f"sig=:{base64.b64encode(bytes(mac)).decode()}:"
    assert check(with_headers(request, signature=changed)) is SignatureRejection.WRONG


@pytest.mark.parametrize("after_ms", [-WINDOW_MS - 1, WINDOW_MS + 1, 10**12])
def test_a_signature_from_another_time_is_stale(after_ms: int) -> None:
    assert check(signed(), now_ms=NOW_S * 1000 + after_ms) is SignatureRejection.STALE


def test_a_signature_lives_a_minute_to_either_side_and_not_past_its_end() -> None:
    assert check(signed(), now_ms=NOW_S * 1000 + WINDOW_MS) is None
    assert check(signed(), now_ms=NOW_S * 1000 - WINDOW_MS) is None
    ending = signed(text=parameters(more=f";expires={NOW_S + 5}"))
    assert check(ending, now_ms=NOW_S * 1000 + 4_999) is None
    assert check(ending, now_ms=NOW_S * 1000 + 5_000) is SignatureRejection.STALE


def test_it_must_be_the_key_that_is_shown() -> None:
    assert check(signed(), key_id="key_2") is SignatureRejection.ANOTHER_KEY
    assert check(signed(secret=b"another")) is SignatureRejection.WRONG


@pytest.mark.parametrize(
    "covered",
    ['"@authority" "@path" "@query"', '"@method" "@path" "@query"', '"@method" "@authority" "@query"',
     '"@method" "@authority" "@path"', '"@method"', '"content-digest"'],
)  # fmt: skip
def test_what_a_request_is_must_be_covered(covered: str) -> None:
    assert check(signed(text=parameters(covered))) is SignatureRejection.INCOMPLETE


def test_a_query_is_covered_where_there_is_one_and_so_is_the_idempotency_key() -> None:
    plain = replace(REQUEST, query="")
    assert check(signed(plain, parameters('"@method" "@authority" "@path"'))) is None
    keyed = with_headers(REQUEST, idempotency_key="k1")
    assert check(signed(keyed)) is SignatureRejection.INCOMPLETE
    assert check(signed(keyed, parameters(f'{COVERED} "idempotency-key"'))) is None


def test_a_component_that_the_request_lacks_is_not_covered() -> None:
    for lacking in ('"x-absent"', '"@status"', '"@request-target"'):
        assert check(signed(text=parameters(f"{COVERED} {lacking}"))) is SignatureRejection.WRONG


@pytest.mark.parametrize(
    "headers",
    [
        {"signature-input": ()},
        {"signature": ()},
        {"signature-input": ("a=();created=1", "b=();created=1")},
        {"signature": ("sig=:AA==:", "sig=:AA==:")},
    ],
)
def test_a_signature_stands_once(headers: Mapping[str, tuple[str, ...]]) -> None:
    request = signed()
    assert check(replace(request, headers={**request.headers, **headers})) is SignatureRejection.MISSING


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sig",
        "sig=()",
        'sig="x"',
        f"other={parameters()}",
        f"sig={parameters()}, b={parameters()}",
        "sig=" + parameters() + " ",
        "sig=" + parameters() + ";",
        "sig=" + parameters(COVERED + " " + COVERED),
        "sig=" + parameters(COVERED.replace(" ", "  ")),
        "sig=" + parameters(COVERED.upper()),
        "sig=" + parameters(COVERED.replace('"@path"', '"@path";req')),
        "sig=" + parameters(created="1e9"),
        "sig=" + parameters(created="-1"),
        "sig=" + parameters(created='"1"'),
        "sig=" + parameters(created=10**16),
        "sig=" + parameters(more=";created=1"),
        "sig=" + parameters(more=';alg="hmac-sha512"'),
        "sig=" + parameters(more=';alg="none"'),
        "sig=" + parameters(more=";alg=hmac-sha256"),
        "sig=" + parameters(more=";unknown=1"),
        "sig=" + parameters(more='; tag="x"'),
        f'sig=({COVERED});created={NOW_S};keyid="{KEY_ID}"',
        f'sig=({COVERED});created={NOW_S};nonce="{NONCE}"',
        f'sig=({COVERED});keyid="{KEY_ID}";nonce="{NONCE}"',
        f'sig=({COVERED});created={NOW_S};keyid="{KEY_ID}";nonce="short"',
        f'sig=({COVERED});created={NOW_S};keyid="{KEY_ID}";nonce="' + "n" * 65 + '"',
        "sig=" + parameters(" ".join(f'"x-{number}"' for number in range(25))),
        "sig=" + "(" * 500,
        "x" * 5_000,
    ],
)
def test_another_spelling_is_malformed(text: str) -> None:
    assert check(with_headers(signed(), signature_input=text)) is SignatureRejection.MALFORMED


@pytest.mark.parametrize(
    "text", ["", "sig=", "sig=::", f"sig=:{'A' * 44}:", f"sig=:{'A' * 42}B=:", f"other=:{'A' * 43}=:",
             f"sig=:{'A' * 43}=:;x", f"sig=:{'A' * 43}=:, b=:{'A' * 43}=:", f"sig=:{'-' * 43}=:"]
)  # fmt: skip
def test_another_signature_is_malformed(text: str) -> None:
    assert check(with_headers(signed(), signature=text)) is SignatureRejection.MALFORMED


@given(st.text(max_size=300), st.text(max_size=80))
def test_hostile_text_is_refused_and_never_raises(input_text: str, signature_text: str) -> None:
    request = with_headers(REQUEST, signature_input=input_text, signature=signature_text)
    assert check(request) is SignatureRejection.MALFORMED


def test_a_signature_does_not_show_its_mac() -> None:
    signature = read_signature(signed())
    assert isinstance(signature, RequestSignature)
    assert repr(signature.mac) not in repr(signature)
