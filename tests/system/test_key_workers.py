"""Two workers on a real store: keys of tokens are rotated under them, API keys end on both at once."""

from __future__ import annotations

import base64
import getpass
import json
import secrets
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.composition.hosting.serving import creditctl
from tests.servers.mongod import MongodServer
from tests.servers.redis_server import RedisServer
from tests.system.product import ANSWER_S_MAX, PASSWORD, Person, Product, Stage, live_stage, running
from tests.system.test_identity_workers import fresh, headers_of, seen_by_all

CONNECTIONS = 12
"""New ones: the kernel deals them out to the two workers."""


@pytest.fixture(scope="module")
def stage(mongod: MongodServer, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    return live_stage(
        tmp_path_factory.mktemp("keys"),
        "uvloop",
        mongod,
        redis_server,
        database=f"keys_{secrets.token_hex(6)}",
    ).with_settings(
        # Refusals are what is asked for here; too many of them from one address would ban it.
        CREDIT_ALLOWLIST="127.0.0.1/32"
    )


@pytest.fixture(scope="module")
def product(stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with running(stage, tmp_path_factory.mktemp("run"), ("--workers", "2")) as started:
        yield started


def kid_of(tokens: dict[str, Any]) -> str:
    header = tokens["access_token"].split(".")[0]
    kid: str = json.loads(base64.urlsafe_b64decode(header + "=="))["kid"]
    return kid


def made(product: Product, **more: object) -> dict[str, Any]:
    answer = product.admin("POST", "/api-keys", {"name": "shop", "scopes": ["admin"], **more})
    assert answer.status_code == 201, answer.text
    key: dict[str, Any] = answer.json()
    return key


def answers(product: Product, headers: dict[str, str]) -> Counter[tuple[int, str]]:
    replies = [fresh(product, "GET", "/api-keys", headers=headers) for _ in range(CONNECTIONS)]
    return Counter((reply.status_code, reply.json().get("code", "")) for reply in replies)


def test_a_token_of_a_new_key_is_believed_by_a_worker_that_has_not_looked_yet(
    product: Product, stage: Stage
) -> None:
    person = Person(product, f"p{secrets.token_hex(6)}")
    name = person.ask("GET", "/users/me").json()["username"]
    rotated = creditctl("keys", "rotate", "jwt", "--after", "1ms", settings=stage.environment)
    assert rotated.returncode == 0, rotated.stderr
    with httpx.Client(base_url=product.url, timeout=ANSWER_S_MAX) as one_worker:
        # A token that nobody made has the worker of this connection look at the file.
        forged = one_worker.get("/users/me", headers={"Authorization": "Bearer forged"})
        assert forged.status_code == 401
        tokens = one_worker.post("/auth/login", json={"username": name, "password": PASSWORD}).json()
    assert kid_of(tokens) != kid_of(person.tokens)
    assert seen_by_all(product, tokens) == {(200, "")}
    assert seen_by_all(product, person.tokens) == {(200, "")}
    refreshed = fresh(
        product,
        "POST",
        "/auth/refresh",
        json={"refresh_token": person.tokens["refresh_token"]},
        headers={"X-Device-Id": person.tokens["device_id"]},
    )
    assert refreshed.status_code == 200
    assert product.metrics()['credit_secret_reload_total{outcome="loaded"}'] == 2
    assert fresh(product, "GET", "/users/me", headers=headers_of(refreshed.json())).status_code == 200


def test_a_revoked_key_is_refused_by_every_worker_at_once_and_after_a_flush(
    product: Product, redis_server: RedisServer
) -> None:
    for by_flush in (False, True):
        key = made(product)
        headers = {"X-API-Key": key["key"]}
        assert set(answers(product, headers)) == {(200, "")}
        assert product.admin("DELETE", f"/api-keys/{key['id']}").status_code == 204
        if by_flush:
            with redis_server.client() as client:
                client.flushall()
        assert set(answers(product, headers)) == {(401, "invalid_credentials")}


def test_a_key_is_revoked_by_the_command_line_as_well(product: Product, stage: Stage) -> None:
    created = creditctl(
        *("api-key", "create", "--name", "cli", "--scope", "admin", "--expires-in", "1d"),
        settings=stage.environment,
    )
    headers = {"X-API-Key": created.stdout.strip()}
    assert set(answers(product, headers)) == {(200, "")}
    listed = creditctl("api-key", "list", settings=stage.environment).stdout
    (line,) = [line for line in listed.splitlines() if line.endswith(" cli")]
    key_id, state, *_ = line.split()
    assert state == "active"
    assert creditctl("api-key", "revoke", key_id, settings=stage.environment).returncode == 0
    assert set(answers(product, headers)) == {(401, "invalid_credentials")}
    audit = product.admin("GET", f"/admin/audit?resource=api_key:{key_id}").json()["items"]
    by = f"creditctl:{getpass.getuser()}"
    assert [(event["action"], event["actor"]) for event in audit] == [
        ("api_key.revoked", by),
        ("api_key.created", by),
    ]


def test_a_signed_request_is_answered_once_whichever_worker_it_reaches(product: Product) -> None:
    key = made(product, require_signature=True)
    code = (Path(__file__).parents[2] / "docs" / "request-signing.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    # The documented client, without the call that it ends with.
    exec(code.partition("```python\n")[2].partition("\n\nurl = ")[0], names)  # noqa: S102 - our own page
    headers = names["signed_headers"](
        "GET",
        f"{product.url}/api-keys",
        b"",
        key_id=key["id"],
        key=key["key"],
        signing_secret=key["signing_secret"],
    )
    assert answers(product, headers) == {(200, ""): 1, (401, "invalid_signature"): CONNECTIONS - 1}
