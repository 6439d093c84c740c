"""Clients that mean well and do it wrong, against the real service over plain http: told what is wrong, and
let in as soon as they do it right."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.system.product import ANSWER_S_MAX, PASSWORD, Product, WebSocket, memory_stage, running


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    """With the limits that it has by default."""
    directory = tmp_path_factory.mktemp("honest")
    with running(memory_stage("uvloop").with_settings(CREDIT_RATE_LIMIT_IP="1000/60s"), directory) as started:
        yield started


@pytest.fixture(scope="module")
def tokens(product: Product) -> dict[str, Any]:
    """Of a login by a client that keeps cookies, and is never asked to send a Secure one over http."""
    body = {"username": "naive", "email": "naive@example.com", "password": PASSWORD}
    with httpx.Client(base_url=product.url) as client:
        assert client.post("/auth/register", json=body).status_code == 201
        reply = client.post("/auth/login", json={"username": "naive", "password": PASSWORD})
        assert "__Host-device" in reply.headers["set-cookie"]
        answer: dict[str, Any] = reply.json()
        client.headers["Authorization"] = f"Bearer {answer['access_token']}"
        assert client.get("/users/me").json()["code"] == "device_mismatch"
    return answer


def asked(product: Product, times: int, method: str, path: str, **options: Any) -> set[tuple[int, str]]:
    """What one client is told that goes on asking, as (status, code)."""
    with httpx.Client(base_url=product.url, timeout=ANSWER_S_MAX) as client:
        replies = [client.request(method, path, **options) for _ in range(times)]
    return {(reply.status_code, reply.json().get("code", "")) for reply in replies}


def test_a_client_that_never_sends_its_device_is_told_so_and_never_banned(
    product: Product, tokens: dict[str, Any]
) -> None:
    bearer = {"Authorization": f"Bearer {tokens['access_token']}"}
    assert asked(product, 60, "GET", "/users/me", headers=bearer) == {(401, "device_mismatch")}
    refresh = {"refresh_token": tokens["refresh_token"]}
    assert asked(product, 20, "POST", "/auth/refresh", json=refresh) == {(401, "device_mismatch")}
    refused = httpx.get(f"{product.url}/users/me", headers=bearer)
    assert "X-Device-Id" in refused.json()["detail"]
    assert "X-Device-Id" in refused.headers["www-authenticate"]
    named = {**bearer, "X-Device-Id": tokens["device_id"]}
    assert asked(product, 1, "GET", "/users/me", headers=named) == {(200, "")}
    device = {"X-Device-Id": tokens["device_id"]}
    assert asked(product, 2, "POST", "/auth/refresh", json=refresh, headers=device) == {(200, "")}


def test_a_socket_is_told_of_its_device_as_it_is_closed(product: Product, tokens: dict[str, Any]) -> None:
    url = product.url.replace("http", "ws", 1) + "/ws"
    reasons = []
    for token in (tokens["access_token"], tokens["refresh_token"]):
        with connect(url, subprotocols=["credit-system.v1"], open_timeout=ANSWER_S_MAX) as connection:  # type: ignore[list-item]  # Subprotocol is a NewType of str
            opened = WebSocket(connection)
            opened.send(id=1, type="connect", token=token)
            with pytest.raises(ConnectionClosed) as closed:
                opened.receive()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4401
            reasons.append(closed.value.rcvd.reason)
    assert reasons[0].startswith("device_mismatch")
    assert "X-Device-Id" in reasons[0]
    assert reasons[1] == "this is neither a WebSocket token nor an access token"


def test_a_client_that_polls_with_what_is_over_or_misplaced_is_never_banned(
    product: Product, tokens: dict[str, Any]
) -> None:
    key = product.admin("POST", "/api-keys", {"name": "short", "scopes": ["credits:read"]}).json()
    assert product.admin("DELETE", f"/api-keys/{key['id']}").status_code == 204
    device = {"X-Device-Id": tokens["device_id"]}
    poll = "/users/me"
    for headers, code in (
        ({"X-API-Key": key["key"]}, "invalid_credentials"),
        ({"Authorization": f"Bearer {product.key}"}, "invalid_token"),
        ({"Authorization": f"Bearer {tokens['refresh_token']}", **device}, "invalid_token"),
        ({"X-API-Key": tokens["access_token"]}, "invalid_credentials"),
        ({"Authorization": "Basic YTpi"}, "not_authenticated"),
        ({"Authorization": "Basic YTpi", "X-API-Key": product.key}, "not_authenticated"),
        ({}, "not_authenticated"),
    ):
        assert asked(product, 45, "GET", poll, headers=headers) == {(401, code)}
    bearer = {"Authorization": f"Bearer {tokens['access_token']}", **device}
    assert httpx.post(f"{product.url}/auth/logout", headers=bearer).status_code == 204
    assert asked(product, 45, "GET", poll, headers=bearer) == {(401, "invalid_token")}
    assert product.anyone("GET", "/").status_code == 200


def test_one_that_tries_what_nobody_made_is_banned_still(product: Product) -> None:
    forged = {"Authorization": "Bearer made-up"}
    assert asked(product, 60, "GET", "/users/me", headers=forged) == {(401, "invalid_token"), (403, "banned")}
