"""Abuse protection from outside: Redis away, frozen and flushed, and a ban lifted by another process."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic, sleep

import pytest

from application.limits.denials import DENIAL_AGE_S_MAX
from application.limits.moderation import MEASURE_INTERVAL_S
from tests.servers.mongod import MongodServer
from tests.servers.redis_server import RedisServer
from tests.system.product import PASSWORD, Person, Product, Stage, live_stage, running
from tests.system.workers import wait_until

LIMIT = 20
POLL_S = 0.1
SLACK_S = 3.0
"""A busy machine's, on top of what is promised."""
STRANGER = {"X_Forwarded_For": "198.51.100.7"}
LOGIN = {"username": "nobody", "password": PASSWORD}


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """One that a test may take away."""
    server = RedisServer()
    try:
        yield server.start()
    finally:
        server.close()


def stage_on(tmp_path: Path, runtime: str, mongod: MongodServer, redis_server: RedisServer) -> Stage:
    stage = live_stage(tmp_path, runtime, mongod, redis_server, database=f"abuse_{secrets.token_hex(6)}")
    return stage.with_settings(
        CREDIT_TRUSTED_PROXIES="127.0.0.0/8",
        CREDIT_RATE_LIMIT_IP=f"{LIMIT}/60s",
    )


def until_status(product: Product, status: int, tries_max: int = 200) -> int:
    """How many requests of the stranger it took."""
    for tried in range(1, tries_max + 1):
        if product.anyone("GET", "/", **STRANGER).status_code == status:
            return tried
    raise AssertionError(f"no {status} in {tries_max} requests")


def check_without_redis(product: Product, alive: Person, ended: Person) -> None:
    """Who must not guess is refused, everybody else is decided here, and nothing hangs (the client's own
    deadline would tell)."""
    login = product.anyone("POST", "/auth/login", LOGIN)
    assert (login.status_code, login.json()["code"]) == (503, "dependency_unavailable")
    assert int(login.headers["retry-after"]) >= 1
    assert alive.ask("GET", "/users/me").status_code == 200
    assert ended.ask("GET", "/users/me").status_code == 401


@pytest.mark.parametrize("runtime", ["uvloop", "trio"])
def test_without_redis_logins_wait_and_the_rest_is_limited_by_each_process(
    runtime: str, mongod: MongodServer, own_redis: RedisServer, tmp_path: Path
) -> None:
    with running(stage_on(tmp_path, runtime, mongod, own_redis), tmp_path) as product:
        # A connection of its own for each request: an idle one may be closed just when it is used again.
        product.http.headers["Connection"] = "close"
        alive, ended = Person(product, "alice"), Person(product, "bob")
        assert ended.ask("POST", "/auth/logout").status_code == 204
        own_redis.kill()
        check_without_redis(product, alive, ended)
        assert LIMIT - 2 <= until_status(product, 429) <= LIMIT + 2
        own_redis.start()
        own_redis.freeze()
        check_without_redis(product, alive, ended)
        own_redis.thaw()
        deadline_s = monotonic() + 20
        while product.anyone("POST", "/auth/login", LOGIN).status_code == 503:
            assert monotonic() < deadline_s, "Redis is back, and logins are not"
            sleep(POLL_S)
        undecided = [
            value
            for name, value in product.metrics().items()
            if name.startswith("credit_ratelimit_decisions_total{") and 'outcome="unavailable"' in name
        ]
        assert sum(undecided) >= LIMIT - 2
        (log,) = tmp_path.glob("output-*.log")
        said = log.read_text().count("the limiter is away")
        assert 1 <= said <= 2, "once a minute, not once a request"


@pytest.mark.parametrize("runtime", ["uvloop", "trio"])
def test_a_session_that_was_ended_stays_ended_when_redis_forgets_everything(
    runtime: str, mongod: MongodServer, own_redis: RedisServer, tmp_path: Path
) -> None:
    with running(stage_on(tmp_path, runtime, mongod, own_redis), tmp_path) as product:
        # A connection of its own for each request: an idle one may be closed just when it is used again.
        product.http.headers["Connection"] = "close"
        alive, ended = Person(product, "alice"), Person(product, "bob")
        assert ended.ask("POST", "/auth/logout").status_code == 204
        for _ in range(3):
            with own_redis.client() as redis:
                redis.flushall()
                redis.script_flush()
            for _ in range(4):
                assert ended.ask("GET", "/users/me").status_code == 401
                assert alive.ask("GET", "/users/me").status_code == 200


def wait_until_in(product: Product) -> None:
    """The promise, and the machine's slack."""
    lifted_s = monotonic()
    while product.anyone("GET", "/", **STRANGER).status_code == 403:
        assert monotonic() - lifted_s < DENIAL_AGE_S_MAX + SLACK_S
        sleep(POLL_S)


def test_a_ban_that_another_process_lifts_is_over_everywhere_within_five_seconds(
    mongod: MongodServer, own_redis: RedisServer, tmp_path: Path
) -> None:
    stage = stage_on(tmp_path, "uvloop", mongod, own_redis)
    ban = {"type": "ip", "identifier": STRANGER["X_Forwarded_For"], "seconds": 3_600, "reason": "said so"}
    path = f"/admin/bans/ip/{STRANGER['X_Forwarded_For']}"
    with running(stage, tmp_path) as one, running(stage, tmp_path) as other:
        for lift in ("other", "creditctl"):
            assert other.admin("POST", "/admin/bans", ban).status_code == 201
            for product in (one, other):
                refused = product.anyone("GET", "/", **STRANGER)
                assert (refused.status_code, refused.json()["code"]) == (403, "banned")
                assert int(refused.headers["retry-after"]) > 3_500
            if lift == "other":
                assert other.admin("DELETE", path).status_code == 204
                assert other.anyone("GET", "/", **STRANGER).status_code == 200
            else:
                subprocess.run(
                    [sys.executable, "-m", "composition", "bans", "lift", "ip", ban["identifier"]],  # type: ignore[list-item]  # a text
                    env={**os.environ, **stage.environment},
                    check=True,
                    timeout=60,
                )
            wait_until_in(one)
            wait_until_in(other)
        audit = one.admin("GET", f"/admin/audit?resource=ip:{ban['identifier']}").json()["items"]
        assert [line["action"] for line in audit] == ["ban.lifted", "ban.added"] * 2
        assert audit[0]["actor"].startswith("creditctl:")
        wait_until(
            lambda: one.metrics()["credit_bans_active"] == 0, "the gauge", MEASURE_INTERVAL_S + SLACK_S
        )


def test_a_key_over_its_limit_and_an_address_in_other_words_are_the_same_to_every_process(
    mongod: MongodServer, own_redis: RedisServer, tmp_path: Path
) -> None:
    stage = stage_on(tmp_path, "uvloop", mongod, own_redis)
    with running(stage, tmp_path) as one:
        made = one.admin("POST", "/api-keys", {"name": "service", "scopes": ["credits:read"]}).json()
    with (
        running(stage.with_settings(CREDIT_RATE_LIMIT_API_KEY=f"{LIMIT}/60s"), tmp_path) as one,
        running(stage.with_settings(CREDIT_RATE_LIMIT_API_KEY=f"{LIMIT}/60s"), tmp_path) as other,
    ):
        asked = [
            product.anyone("GET", "/", X_API_Key=made["key"]).status_code
            for _ in range(LIMIT)
            for product in (one, other)
        ]
        # In Redis both count together; windows slide, so a few more may pass.
        assert LIMIT <= asked.count(200) <= LIMIT + 2
        assert set(asked) == {200, 429}
        ban = {"type": "ip", "identifier": "64:ff9b::c000:201", "seconds": 3_600, "reason": "said so"}
        assert one.admin("POST", "/admin/bans", ban).json()["identifier"] == "192.0.2.1"
        for address in ("192.0.2.1", "2002:c000:201::7", "64:ff9b::192.0.2.1"):
            assert other.anyone("GET", "/", X_Forwarded_For=address).status_code == 403
        assert other.anyone("GET", "/", X_Forwarded_For="64:ff9b::192.0.2.2").status_code == 200
        subprocess.run(
            [sys.executable, "-m", "composition", "bans", "lift", "ip", "::ffff:192.0.2.1"],
            env={**os.environ, **stage.environment},
            check=True,
            timeout=60,
        )
        lifted_s = monotonic()
        while other.anyone("GET", "/", X_Forwarded_For="2002:c000:201::7").status_code == 403:
            assert monotonic() - lifted_s < DENIAL_AGE_S_MAX + SLACK_S
            sleep(POLL_S)
        assert one.metrics()['credit_ratelimit_decisions_total{outcome="quota_exceeded",type="api_key"}'] > 0
        assert not [name for name in one.metrics() if name.startswith('credit_bans_total{type="api_key"}')]
