"""What comes in is parsed and validated once; hostile input is refused in clear words, changing nothing."""

from __future__ import annotations

import pytest

from credit_system import rfc3339
from ports.runtime import Runtime
from tests.adapters.web.client import Reply
from tests.adapters.web.probe_routes import ROUTES
from tests.adapters.web.service import Options, open_service
from tests.conformance.runtimes import Driver

JSON = {"Content-Type": "application/json"}
DEEP = 100_000


async def post(runtime: Runtime, target: str, body: bytes, headers: dict[str, str] = JSON) -> Reply:
    service = open_service(runtime, Options(routes=ROUTES))
    return await service.client.request("POST", target, body=body, headers=headers)


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b'{"amount":1.0}', "validation_failed", "amount"),
        (b'{"amount":1e3}', "validation_failed", "amount"),
        (b'{"amount":1.5}', "validation_failed", "amount"),
        (b'{"amount":true}', "validation_failed", "amount"),
        (b'{"amount":"1"}', "validation_failed", "amount"),
        (b'{"amount":null}', "validation_failed", "amount"),
        (b'{"amount":0}', "validation_failed", "amount"),
        (b'{"amount":-1}', "validation_failed", "amount"),
        (b'{"amount":-0}', "validation_failed", "amount"),
        (b'{"amount":1000000000000001}', "validation_failed", "amount"),
        (b'{"amount":10000000000000000}', "validation_failed", "amount"),
        (b'{"amount":' + b"9" * 5000 + b"}", "validation_failed", "amount"),
        (b'{"amount":[1]}', "validation_failed", "amount"),
        (b"{}", "validation_failed", "amount"),
        (b'{"amount":1,"amonut":2}', "validation_failed", "amonut"),
        (b'{"amount":1,"asset":"GEMS\\n"}', "validation_failed", "asset"),
        (b'{"amount":1,"asset":""}', "validation_failed", "asset"),
        (b'{"amount":1,"asset":"' + b"A" * 17 + b'"}', "validation_failed", "asset"),
        (b'{"amount":1,"asset":"G\\u0000"}', "validation_failed", "asset"),
        (b'{"amount":1,"tags":["a",7]}', "validation_failed", "tags[1]"),
        (b'{"amount":1,"metadata":[]}', "validation_failed", "metadata"),
        (b'{"amount":1,"metadata":{"a":"' + b"x" * 505 + b'"}}', "validation_failed", None),
        (b'{"amount":1,"amount":2}', "validation_failed", None),
        (b'{"amount":1,"\\u0061mount":2}', "validation_failed", None),
        (b'{"amount":1,"metadata":{"a":1,"a":2}}', "validation_failed", None),
        (b"[1]", "validation_failed", None),
        (b"null", "validation_failed", None),
        (b'"text"', "validation_failed", None),
        (b"", "malformed_json", None),
        (b" ", "malformed_json", None),
        (b"{", "malformed_json", None),
        (b'{"amount":1}x', "malformed_json", None),
        (b'{"amount":1,}', "malformed_json", None),
        (b'{"amount":01}', "malformed_json", None),
        (b'{"amount":NaN}', "malformed_json", None),
        (b'{"amount":Infinity}', "malformed_json", None),
        (b"{'amount':1}", "malformed_json", None),
        (b'{"amount":1/*one*/}', "malformed_json", None),
        (b'\xef\xbb\xbf{"amount":1}', "malformed_json", None),
        ('{"amount":1}'.encode("utf-16"), "malformed_json", None),
        (b'{"amount":1,"note":"\xff"}', "malformed_json", None),
        (b'{"amount":1,"note":"\xed\xa0\x80"}', "malformed_json", None),
        (b'{"amount":1,"note":"\\ud800"}', "malformed_json", None),
        (b'{"amount":1,"note":"a\nb"}', "malformed_json", None),
        (
            b'{"amount":1,"metadata":' + b'{"a":' * DEEP + b"1" + b"}" * DEEP + b"}",
            "malformed_json",
            None,
        ),
        (b'{"amount":1,"metadata":{"a":' + b"[" * DEEP + b"]" * DEEP + b"}}", "malformed_json", None),
        (b"[" * DEEP, "validation_failed", None),
    ],
)
def test_a_hostile_body_is_refused_in_clear_words(
    run_real: Driver, body: bytes, code: str, field: str | None
) -> None:
    async def main(runtime: Runtime) -> None:
        reply = await post(runtime, "/orders", body)
        assert (reply.status, reply.code) == (400, code)
        assert reply.json().get("field") == field
        assert len(reply.body) < 1000

    run_real(main)


@pytest.mark.parametrize(
    "body",
    [
        b'{"amount":1}',
        b' {"amount" : 1} \n',
        b'{"amount":1000000000000000}',
        '{"amount":1,"note":"ünï😀 \\ud83d\\ude00"}'.encode(),
        b'{"amount":1,"metadata":{"a":"' + b"x" * 504 + b'"}}',
        b'{"amount":1,"metadata":{"a":{"n":1},"b":{"n":1}}}',
    ],
)
def test_a_good_body_is_taken(run_real: Driver, body: bytes) -> None:
    async def main(runtime: Runtime) -> None:
        assert (await post(runtime, "/orders", body)).status == 201

    run_real(main)


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 201),
        ("Application/JSON; charset=UTF-8", 201),
        ('application/json;charset="utf-8"', 201),
        ("application/vnd.credits+json", 201),
        ("application/json; charset=latin-1", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("text/json", 415),
        ("application/jsonp", 415),
        ("", 415),
        (None, 415),
    ],
)
def test_a_body_must_be_json_by_its_own_word(run_real: Driver, content_type: str | None, status: int) -> None:
    async def main(runtime: Runtime) -> None:
        headers = {} if content_type is None else {"Content-Type": content_type}
        reply = await post(runtime, "/orders", b'{"amount":1}', headers)
        assert reply.status == status
        if status == 415:
            assert reply.code == "unsupported_media_type"

    run_real(main)


def test_an_empty_body_stands_for_no_fields_where_none_is_required(run_real: Driver) -> None:
    async def main(runtime: Runtime) -> None:
        assert (await post(runtime, "/optional", b"", {})).json() == {"amount": None}
        assert (await post(runtime, "/optional", b'{"amount":7}')).json() == {"amount": 7}
        assert (await post(runtime, "/optional", b"x", {})).code == "unsupported_media_type"

    run_real(main)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("count=1.0", "count"),
        ("count=1e1", "count"),
        ("count=+1", "count"),
        ("count=01", "count"),
        ("count=%EF%BC%91", "count"),
        ("count=1%0A", "count"),
        ("count=", "count"),
        ("count=true", "count"),
        ("count=null", "count"),
        ("count=1&count=2", "count"),
        ("at=1700000000", "at"),
        ("at=2026-01-01", "at"),
        ("at=2026-01-01T00:00:00", "at"),
        ("unknown=1", "unknown"),
        ("text=%FF", None),
        ("&".join(f"a{n}=1" for n in range(40)), None),
    ],
)
def test_a_bad_query_is_refused_naming_the_parameter(run_real: Driver, query: str, field: str | None) -> None:
    async def main(runtime: Runtime) -> None:
        reply = await post(runtime, f"/orders?{query}", b'{"amount":1}')
        assert (reply.status, reply.code) == (400, "validation_failed")
        assert reply.json().get("field") == field

    run_real(main)


def test_a_query_is_taken_as_text_and_numbers(run_real: Driver) -> None:
    async def main(runtime: Runtime) -> None:
        reply = await post(
            runtime, "/orders?count=-12&text=a%20b&at=2026-01-01T00:00:00%2B01:00", b'{"amount":1}'
        )
        answer = reply.json()
        assert (answer["count"], answer["text"]) == (-12, "a b")
        assert answer["at"] == "2026-01-01T00:00:00+01:00"
        # Text that looks like a number stays text.
        assert (await post(runtime, "/orders?text=12", b'{"amount":1}')).json()["text"] == "12"

    run_real(main)


def test_a_route_without_a_query_takes_none(run_real: Driver) -> None:
    async def main(runtime: Runtime) -> None:
        service = open_service(runtime)
        reply = await service.client.request("GET", "/?debug=1")
        assert (reply.status, reply.code, reply.json()["field"]) == (400, "validation_failed", "debug")

    run_real(main)


@pytest.mark.parametrize("key", ["", " ", "two words", "ümlaut", "x" * 256, "tab\there"])
def test_an_idempotency_key_of_a_wrong_form_is_refused(run_real: Driver, key: str) -> None:
    async def main(runtime: Runtime) -> None:
        reply = await post(runtime, "/orders", b'{"amount":1}', {**JSON, "Idempotency-Key": key})
        assert (reply.status, reply.code) == (400, "validation_failed")
        assert reply.json()["field"] == "Idempotency-Key"

    run_real(main)


def test_the_handler_is_given_key_device_and_context(run_real: Driver) -> None:
    async def main(runtime: Runtime) -> None:
        headers = {
            **JSON,
            "Idempotency-Key": "k" * 255,
            "X-Device-Id": "device-0123456789",
            "User-Agent": "suite/1",
            "X-Request-ID": "abc-1",
        }
        reply = await post(runtime, "/orders", b'{"amount":1}', headers)
        answer = reply.json()
        assert answer["key"] == "k" * 255
        assert answer["device"] == "device-0123456789"
        assert (answer["agent"], answer["actor"], answer["request"]) == ("suite/1", "anonymous", "abc-1")
        assert answer["address"] == "203.0.113.9"
        assert reply.header("x-extra") == "1"

    run_real(main)


def test_two_idempotency_keys_are_none(run_real: Driver) -> None:
    async def main(runtime: Runtime) -> None:
        service = open_service(runtime, Options(routes=ROUTES))
        headers = [*JSON.items(), ("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
        reply = await service.client.request("POST", "/orders", body=b'{"amount":1}', headers=headers)
        assert (reply.status, reply.code) == (400, "validation_failed")

    run_real(main)


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [(-62_135_596_800_000, "0001-01-01T00:00:00.000Z"), (-1, "1969-12-31T23:59:59.999Z")],
)
def test_a_time_is_written_with_all_digits_of_its_year(at_ms: int, text: str) -> None:
    assert rfc3339(at_ms) == text
