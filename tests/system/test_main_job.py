"""The main job, from outside: a credit is granted, spent, pushed, counted and guarded."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.servers.mongod import MongodServer
from tests.servers.redis_server import RedisServer
from tests.system.product import Person, Product, Stage, live_stage, memory_stage, running

STAGES = (
    "memory-asyncio",
    "memory-uvloop",
    "memory-trio",
    "live-asyncio",
    "live-uvloop",
    "live-trio",
    "live-motor",
)


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    store, _, runtime = request.param.partition("-")
    if store == "memory":
        return memory_stage(runtime)
    mongod: MongodServer = request.getfixturevalue("mongod")
    redis_server: RedisServer = request.getfixturevalue("redis_server")
    database = f"system_{secrets.token_hex(6)}"
    if runtime == "motor":
        base = live_stage(tmp_path, "asyncio", mongod, redis_server, database=database)
        return base.with_settings(CREDIT_MONGO_DRIVER="motor")
    return live_stage(tmp_path, runtime, mongod, redis_server, database=database)


def open_account(product: Product, owner: str) -> str:
    opened = product.admin("POST", "/credits/accounts", {"asset": "GEMS", "user_id": owner})
    assert opened.status_code == 201, opened.text
    account: str = opened.json()["id"]
    return account


def test_a_credit_is_granted_spent_pushed_and_counted(stage: Stage, tmp_path: Path) -> None:
    with running(stage, tmp_path) as product:
        alice = Person(product, "alice")
        account = open_account(product, alice.id)
        with alice.socket() as pushes:
            grant = product.admin(
                "POST", "/credits/grants", {"account": account, "amount": 1_000, "category": "paid"}
            )
            assert grant.status_code == 201, grant.text
            first = pushes.receive()
            body = {"id": "t-1", "source": account, "amount": 250, "code": "purchase"}
            spent = product.admin("POST", "/credits/transfers", body)
            assert spent.status_code == 201, spent.text
            second = pushes.receive()
        assert (first["type"], first["account"], first["posted"]) == ("balance", account, 1_000)
        assert (second["posted"], second["available"]) == (750, 750)
        assert second["seq"] > first["seq"]
        assert alice.ask("GET", f"/credits/accounts/{account}").json()["posted"] == 750

        again = product.admin("POST", "/credits/transfers", body)
        assert (again.status_code, again.headers["Idempotent-Replayed"]) == (201, "true")
        assert again.json() == spent.json()

        refused = product.admin(
            "POST", "/credits/transfers", {"source": account, "amount": 10_000, "code": "purchase"}
        )
        assert (refused.status_code, refused.json()["code"]) == (409, "insufficient_funds")
        assert refused.headers["content-type"] == "application/problem+json"
        assert product.admin("GET", f"/credits/accounts/{account}").json()["posted"] == 750

        entries = product.admin("GET", f"/credits/accounts/{account}/entries").json()["items"]
        assert [(entry["amount"], entry["balance"]) for entry in entries] == [(-250, 750), (1_000, 1_000)]

        samples = product.metrics()
        assert samples['credit_transactions_total{operation="grant",status="posted"}'] == 1
        assert samples['credit_transactions_total{operation="transfer",status="replayed"}'] == 1
        assert samples['credit_balance{asset="GEMS",kind="issued"}'] == 1_000
        assert samples['credit_balance{asset="GEMS",kind="spent"}'] == 250


def test_a_client_over_its_limit_is_refused_then_banned_and_longer_each_time(
    stage: Stage, tmp_path: Path
) -> None:
    strict = stage.with_settings(
        # In whole seconds, 1 to 1.1 s and then 2 to 2.2 s may both read 2; from 2 s on no jitter does that.
        CREDIT_RATE_LIMIT_IP="5/60s",
        CREDIT_BAN_THRESHOLD="2",
        CREDIT_BAN_BASE="2s",
        CREDIT_BAN_MAX="1h",
    )
    with running(strict, tmp_path) as product:
        seen: list[tuple[int, str]] = []
        waits: list[float] = []
        for _ in range(200):
            answer = product.anyone("GET", "/")
            if answer.status_code != 200:
                assert int(answer.headers["Retry-After"]) >= 1
                assert answer.headers["content-type"] == "application/problem+json"
            state = (answer.status_code, answer.json().get("code", "ok"))
            if not seen or seen[-1] != state:
                seen.append(state)
                if state == (403, "banned"):
                    waits.append(int(answer.headers["Retry-After"]))
            if len(waits) == 2:
                break
            if answer.status_code == 403:
                wait_out_a_ban(product)
        assert seen[:3] == [(200, "ok"), (429, "quota_exceeded"), (403, "banned")]
        assert len(waits) == 2
        assert waits[1] > waits[0]
        assert product.anyone("GET", "/health/live").status_code == 200
        samples = product.metrics()
        assert samples['credit_bans_total{type="ip"}'] == 2
        assert samples['credit_ratelimit_decisions_total{outcome="quota_exceeded",type="ip"}'] >= 2


def wait_out_a_ban(product: Product) -> None:
    """Asks until the ban has ended; the answers say how long that takes at most."""
    for _ in range(100_000):
        if product.anyone("GET", "/").status_code != 403:
            return
    raise AssertionError("the ban did not end")


@pytest.mark.parametrize("amount", [1.0, "5", True, -5, 0, 10**16, None, [5], {"value": 5}, 2.5, 1e3])
def test_an_amount_that_is_not_a_plain_positive_integer_is_refused(
    amount: object, shared_product: Product
) -> None:
    account = open_account(shared_product, "somebody")
    body = {"source": "@revenue", "destination": account, "amount": amount, "code": "test"}
    refused = shared_product.admin("POST", "/credits/transfers", body)
    assert (refused.status_code, refused.json()["code"]) == (400, "validation_failed")
    assert shared_product.admin("GET", f"/credits/accounts/{account}").json()["posted"] == 0


def test_a_batch_sent_again_under_its_key_gets_its_first_answer(shared_product: Product) -> None:
    account = open_account(shared_product, "somebody")
    shared_product.admin("POST", "/credits/grants", {"account": account, "amount": 10, "category": "paid"})
    transfers = [{"source": account, "amount": amount, "code": "test"} for amount in (3, 4)]
    body = {"transfers": transfers}
    first = shared_product.admin("POST", "/credits/transfers/batch", body, Idempotency_Key="batch-1")
    assert [result["status"] for result in first.json()["results"]] == ["posted", "posted"]
    assert "Idempotent-Replayed" not in first.headers
    again = shared_product.admin("POST", "/credits/transfers/batch", body, Idempotency_Key="batch-1")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.json() == first.json()
    assert shared_product.admin("GET", f"/credits/accounts/{account}").json()["posted"] == 3


def test_a_transfer_named_in_two_batches_is_a_duplicate_in_the_second(shared_product: Product) -> None:
    account = open_account(shared_product, "somebody")
    shared_product.admin("POST", "/credits/grants", {"account": account, "amount": 10, "category": "paid"})
    body = {"transfers": [{"id": f"{account}.1", "source": account, "amount": 3, "code": "test"}]}
    shared_product.admin("POST", "/credits/transfers/batch", body)
    again = shared_product.admin("POST", "/credits/transfers/batch", body)
    assert again.json()["results"] == [{"id": f"{account}.1", "status": "duplicate"}]
    assert shared_product.admin("GET", f"/credits/accounts/{account}").json()["posted"] == 7


@pytest.fixture(scope="module")
def shared_product(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Product]:
    with running(memory_stage("asyncio"), tmp_path_factory.mktemp("product")) as product:
        yield product


def test_readiness_names_the_dependency_that_is_down(tmp_path: Path) -> None:
    with closing(MongodServer()) as mongod, closing(RedisServer()) as redis_server:
        mongod.start()
        redis_server.start()
        stage = live_stage(tmp_path, "uvloop", mongod, redis_server, database="system_ready")
        with running(stage, tmp_path) as product:
            assert product.anyone("GET", "/health/ready").status_code == 200
            redis_server.kill()
            assert soon_ready(product) == (503, ["redis"])
            redis_server.restart()
            assert soon_ready(product, but=503) == (200, [])
            mongod.kill()
            assert soon_ready(product) == (503, ["mongo"])
            assert product.anyone("GET", "/health/live").status_code == 200
            refused = product.admin("POST", "/credits/accounts", {"asset": "GEMS"})
            assert (refused.status_code, refused.json()["code"]) == (503, "dependency_unavailable")
            assert int(refused.headers["Retry-After"]) >= 1
            mongod.restart()


def soon_ready(product: Product, *, but: int = 200) -> tuple[int, list[str]]:
    """What readiness says once it no longer says `but`: an answer may be half a second old."""
    for _ in range(10_000):
        answer = product.anyone("GET", "/health/ready")
        if answer.status_code != but:
            return answer.status_code, answer.json().get("down", [])
    raise AssertionError(f"readiness stayed at {but}")
