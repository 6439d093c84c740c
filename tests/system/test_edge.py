"""What every answer carries, and what WebSockets are told, by each server as clients see it."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.composition.hosting.serving import WAIT_S_MAX, Serving, wait_until
from tests.composition.hosting.test_serve import CARRIERS

LIMITED = {"CREDIT_RATE_LIMIT_API_KEY": "20/60s", "CREDIT_TRUSTED_PROXIES": "127.0.0.1"}
SPELLINGS = (
    "192.0.2.1",
    "::ffff:192.0.2.1",
    "64:ff9b::c000:201",
    "64:ff9b:1::c000:201",
    "2002:c000:201::9",
    "2001:0:4137:9e5a:8000:63bf:3fff:fdfe",
    "::192.0.2.1",
    "::ffff:0:192.0.2.1",
    "[64:ff9b::c000:201]:443",
)
UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
}


def key_of(demo: Serving) -> dict[str, str]:
    wait_until(lambda: "Ctrl-C" in demo.output, "the whole announcement")
    found = re.search(r"admin API key: (\S+)", demo.output)
    assert found is not None, demo.output
    return {"X-API-Key": found[1]}


def refusals_told(demo: Serving) -> list[str]:
    lines = [json.loads(line) for line in demo.errors.splitlines() if line.startswith("{")]
    return [line["message"] for line in lines if line["message"].startswith("limit or ban: ")]


@pytest.mark.parametrize(("server", "runtime"), CARRIERS)
def test_nothing_that_was_asked_with_a_credential_and_no_refusal_may_be_kept(
    server: str, runtime: str
) -> None:
    with Serving("demo", "--server", server, "--runtime", runtime) as demo:
        key = key_of(demo)
        with httpx.Client(base_url=demo.url(), timeout=WAIT_S_MAX) as http:
            document: dict[str, Any] = http.get("/openapi.json").json()
            paths = [
                re.sub(r"\{\w+\}", "mine", path)
                for path, there in document["paths"].items()
                if "get" in there
            ]
            assert len(paths) > 20
            for path in (*paths, "/nowhere", "/ws"):
                for credentials in (key, {"X-API-Key": "ck_nobody_nothing"}, {"Authorization": "Bearer x"}):
                    assert http.get(path, headers=credentials).headers["cache-control"] == "no-store", path
                asked = http.get(path)
                may_be_kept = asked.headers["cache-control"].startswith("public, ")
                assert may_be_kept <= (asked.status_code == 200), path
            for method, path in (("OPTIONS", "/"), ("PUT", "/"), ("POST", "/orders"), ("HEAD", "/users")):
                assert http.request(method, path).headers["cache-control"] == "no-store"
            for headers in ({"Origin": "https://evil.example"}, {"X-API-Key": "ck_nobody_nothing"}):
                # A server may close a connection after that without a word.
                refused = httpx.get(f"{demo.url()}/ws", headers={**UPGRADE, **headers}, timeout=WAIT_S_MAX)
                assert refused.status_code in (401, 403)
                assert refused.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(("server", "runtime"), CARRIERS)
def test_who_does_not_speak_the_subprotocol_is_told_at_once(server: str, runtime: str) -> None:
    with Serving("demo", "--server", server, "--runtime", runtime) as demo:
        where = demo.url().replace("http", "ws") + "/ws"
        with connect(where) as client, pytest.raises(ConnectionClosed) as closed:
            # Long before the 10 s that a first frame may take.
            client.recv(timeout=5)
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (
            4400,
            "offer the subprotocol credit-system.v1",
        )
        with pytest.raises(InvalidStatus) as refused, connect(where, subprotocols=[Subprotocol("mqtt")]):
            pass
        assert refused.value.response.status_code == 400
        plain = demo.get("/ws")
        assert (plain.status_code, plain.json()["code"]) == (426, "upgrade_required")
        assert (plain.headers["upgrade"], plain.headers["connection"].lower()) == ("websocket", "upgrade")


def test_a_key_over_its_limit_is_refused_and_told_of_and_never_banned(tmp_path: Path) -> None:
    with Serving("demo", settings={**LIMITED, "CREDIT_LOG_DIR": str(tmp_path)}) as demo:
        key = key_of(demo)
        with httpx.Client(base_url=demo.url(), timeout=WAIT_S_MAX) as http:
            answers = [http.get("/credits/accounts/ada", headers=key) for _ in range(50)]
            refused = [answer for answer in answers if answer.status_code != 200]
            assert {answer.status_code for answer in refused} == {429}
            assert len(refused) == 30
            assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
            # Nobody else pays for it, and the service says what happened.
            assert http.get("/").status_code == 200
            metrics = http.get("/metrics").text
        counted = 'credit_ratelimit_decisions_total{outcome="quota_exceeded",type="api_key"} 30.0'
        assert counted in metrics
        assert "credit_bans_total{" not in metrics
        wait_until(lambda: bool(refusals_told(demo)), "the log")
        key_id = key["X-API-Key"].split("_")[1]
        (told,) = refusals_told(demo)
        assert f"API key key_{key_id}, 1 refused, 0 new bans, now" in told
        demo.stop()
        assert "29 refused" in refusals_told(demo)[-1]
        assert key["X-API-Key"] not in demo.errors
        lines = [json.loads(line) for line in (tmp_path / "function.log").read_text().splitlines()]
        assert [line for line in lines if line.get("request_id", "") is None] == []


def test_a_key_over_its_limit_is_banned_where_an_operator_says_so() -> None:
    with Serving("demo", settings={**LIMITED, "CREDIT_BAN_API_KEYS": "true"}) as demo:
        key = key_of(demo)
        with httpx.Client(base_url=demo.url(), timeout=WAIT_S_MAX) as http:
            answers = [http.get("/", headers=key).status_code for _ in range(30)]
        assert answers == [200] * 20 + [429] * 5 + [403] * 5
        demo.stop()
        assert ", 9 refused, 1 new bans, before the end" in refusals_told(demo)[-1]


def test_a_list_that_holds_all_of_ipv4_in_other_words_is_warned_of() -> None:
    settings = {**LIMITED, "CREDIT_ALLOWLIST": "64:ff9b::/96", "CREDIT_RATE_LIMIT_IP": "2/60s"}
    with Serving("demo", settings=settings) as demo:
        with httpx.Client(base_url=demo.url(), timeout=WAIT_S_MAX) as http:
            for address, last in (("192.0.2.1", 200), ("2001:db8::1", 429)):
                headers = {"X-Forwarded-For": address}
                assert [http.get("/", headers=headers).status_code for _ in range(3)][-1] == last
        assert "CREDIT_ALLOWLIST holds every IPv4 address" in demo.errors


def test_one_address_is_one_however_it_is_written() -> None:
    settings = {**LIMITED, "CREDIT_RATE_LIMIT_API_KEY": "1000/60s", "CREDIT_ALLOWLIST": "2002:c633:6400::/40"}
    with Serving("demo", settings={**settings, "CREDIT_RATE_LIMIT_IP": "5/60s"}) as demo:
        key = key_of(demo)
        with httpx.Client(base_url=demo.url(), timeout=WAIT_S_MAX) as http:

            def asked_by(address: str) -> int:
                return http.get("/", headers={"X-Forwarded-For": address}).status_code

            ban = {"type": "ip", "identifier": "64:ff9b::c000:201", "reason": "said so"}
            added = http.post("/admin/bans", json=ban, headers=key)
            assert (added.status_code, added.json()["identifier"]) == (201, "192.0.2.1")
            assert {asked_by(address) for address in SPELLINGS} == {403}
            assert http.get("/", headers={"Forwarded": 'for="[64:ff9b::c000:201]"'}).status_code == 403
            # The others behind the translator.
            assert asked_by("64:ff9b::c000:202") == 200
            lifted = http.delete("/admin/bans/ip/2002:c000:201::1", headers=key)
            assert lifted.status_code == 204
            # One window for all of them.
            assert [asked_by(address) for address in SPELLINGS[:6]] == [200] * 5 + [429]
            assert {asked_by("64:ff9b::198.51.100.7") for _ in range(20)} == {200}


def answers_on_one_connection(port: int, *requests: tuple[bytes, bytes]) -> list[bytes]:
    """The head of each answer; each request's body follows its head a moment later, as clients send it. Ends
    early where the server says that it closes."""
    heads: list[bytes] = []
    with (
        socket.create_connection(("127.0.0.1", port), timeout=WAIT_S_MAX) as connection,
        connection.makefile("rb") as reader,
    ):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for head, body in requests:
            connection.sendall(head)
            Event().wait(0.03)  # The body's delay is what is tried here.
            connection.sendall(body)
            answer = b" 100"
            while b" 100" in answer.partition(b"\r\n")[0]:  # One that asks for the body is none yet.
                lines = [reader.readline()]
                while lines[-1].strip():
                    lines.append(reader.readline())
                answer = b"".join(lines).lower()
            assert answer, f"no answer to request {len(heads) + 1}"
            heads.append(answer)
            length = re.search(rb"content-length: (\d+)", answer)
            assert length is not None, answer
            reader.read(int(length[1]))
            if b"connection: close" in answer:
                break
    return heads


@pytest.mark.parametrize(("server", "runtime"), CARRIERS)
def test_a_refusal_before_the_body_has_come_leaves_the_connection_good_or_says_that_it_ends(
    server: str, runtime: str
) -> None:
    body = b'{"source":"ada","amount":1,"code":"x"}'
    head = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n"
    with Serving("demo", "--server", server, "--runtime", runtime) as demo:
        port = int(demo.url().rpartition(":")[2])
        for path, extra, status in (
            (b"/nowhere", b"", b" 404"),
            (b"/credits/transfers", b"", b" 401"),
            (b"/credits/transfers", b"X-API-Key: ck_nobody_nothing\r\n", b" 401"),
            (b"/openapi.json", b"", b" 405"),
        ):
            asked = (head % (path, extra, len(body)), body)
            first, *others = answers_on_one_connection(port, asked, asked)
            assert first.split(b"\r\n")[0].startswith(b"http/1.1" + status)
            assert others or b"connection: close" in first
        # What is too slow, or waits to be asked, is not waited for: the answer says that it is the last.
        slow = head % (b"/nowhere", b"", 10_000_000)
        (only,) = answers_on_one_connection(port, (slow, body))
        withheld = head % (b"/nowhere", b"Expect: 100-continue\r\n", len(body))
        (refused,) = answers_on_one_connection(port, (withheld, b""))
        assert b" 404" in only.split(b"\r\n")[0]
        assert b" 404" in refused.split(b"\r\n")[0]
