"""`creditctl bans …` and `limits …` on the live store, as an operator runs them."""

from __future__ import annotations

import getpass
import json
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from adapters.mongo import audit
from tests.composition.hosting.serving import ROOT, WAIT_S_MAX, environ_with
from tests.servers.mongod import DATABASE, MongodServer
from tests.servers.redis_server import RedisServer
from tests.servers.secret_files import write_secrets


@dataclass(frozen=True)
class Store:
    settings: dict[str, str]
    database: Database[dict[str, Any]]

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, output and complaints."""
        done = subprocess.run(
            [sys.executable, "-m", "composition", *arguments],
            cwd=ROOT,
            env=environ_with(self.settings),
            capture_output=True,
            text=True,
            timeout=WAIT_S_MAX,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def audited(self) -> list[tuple[str, str, str]]:
        return [
            (event["actor"], event["action"], event["resource"])
            for event in self.database[audit.COLLECTION].find(sort=[("_id", 1)])
        ]


@pytest.fixture
def store(mongod: MongodServer, redis_server: RedisServer, tmp_path: Path) -> Iterator[Store]:
    name = f"bans_{secrets.token_hex(6)}"
    write_secrets(tmp_path / "secrets", mongod, redis_server)
    settings = {
        "CREDIT_MONGO_URL": mongod.url.replace(f"/{DATABASE}?", f"/{name}?"),
        "CREDIT_REDIS_URL": redis_server.url,
        "CREDIT_SECRETS_DIR": str(tmp_path / "secrets"),
        "CREDIT_REDIS_DECISION_TIMEOUT": "5s",
        "CREDIT_ALLOWLIST": "192.0.2.0/24",
    }
    with mongod.client(mongod.admin) as client:
        yield Store(settings, client[name])
    with mongod.client(mongod.root) as client:
        client.drop_database(name)


def test_a_ban_is_added_listed_shown_and_lifted(store: Store) -> None:
    address = f"2001:db8:{secrets.randbelow(1 << 16):x}:1::7"
    counted = address.removesuffix("7") + "/64"
    by = f"creditctl:{getpass.getuser()}"

    code, output, errors = store.run("bans", "add", "ip", address, "--seconds", "90", "--reason", "said so")
    assert (code, errors) == (0, "")
    assert output.startswith(f"ip {counted} until ")
    assert output.endswith("Z level 1 said so\n")

    code, output, _ = store.run("bans", "list", "--json")
    (ban,) = [ban for ban in json.loads(output) if ban["identifier"] == counted]
    assert (code, ban["type"], ban["level"], ban["reason"]) == (0, "ip", 1, "said so")
    assert f"ip {counted} until " in store.run("bans", "list")[1]

    code, output, _ = store.run("limits", "show", "ip", address, "--json")
    limits = json.loads(output)
    assert (code, limits["identifier"], limits["banned"], limits["ban"]) == (0, counted, True, ban)
    assert store.run("limits", "show", "ip", address)[1].splitlines()[:1] == ["ip 0 of 100 in 60 s"]

    assert store.run("limits", "clear", "ip", address) == (0, "", "")
    assert store.run("bans", "lift", "ip", address) == (0, "", "")
    assert store.run("bans", "lift", "ip", address) == (1, "", f"creditctl: ip {counted} is not banned\n")
    assert store.audited() == [
        (by, "ban.added", f"ip:{counted}"),
        (by, "limits.cleared", f"ip:{counted}"),
        (by, "ban.lifted", f"ip:{counted}"),
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (("bans", "add", "ip", "10.0.0.0/8", "--reason", "x"), 2, "neither an IP address nor"),
        (("bans", "add", "ip", "10.0.0.1"), 2, "--reason"),
        (("bans", "add", "ip", "10.0.0.1", "--reason", " "), 2, "--reason is one line"),
        (("bans", "add", "ip", "10.0.0.1", "--reason", "x", "--seconds", "0"), 2, "--seconds is from 1"),
        (("bans", "add", "planet", "earth", "--reason", "x"), 2, "invalid choice"),
        (("bans", "add", "ip", "192.0.2.7", "--reason", "x"), 1, "allow-listed"),
        (("bans", "add", "account_name", "ada", "--reason", "x"), 1, "never banned"),
        (("limits", "show", "user", "no body"), 2, "not a user's id"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_no_trace(
    store: Store, arguments: tuple[str, ...], code: int, complaint: str
) -> None:
    done, output, errors = store.run(*arguments)
    assert (done, output) == (code, "")
    assert complaint in errors
    assert store.audited() == []
