"""Stored fields of a running service: nowhere in the clear, swept under a new key, told of when damaged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from composition.commands.cli import main
from composition.config.ring_file import encryption_ring_text, parse_encryption_ring
from domain.encryption.keyring import EncryptionRing, RingKey
from tests.composition.hosting.serving import wait_until
from tests.servers.mongod import MongodServer
from tests.servers.prepared_database import PreparedDatabase, unprepared_database
from tests.servers.redis_server import RedisServer
from tests.system.product import Person, Stage, live_stage, running

NEW = "a second root key that the operator adds to the ring"


@pytest.fixture
def prepared(mongod: MongodServer, tmp_path: Path) -> Iterator[PreparedDatabase]:
    database = unprepared_database(mongod, tmp_path / "roles")
    database.run_script()
    yield database
    with mongod.client(mongod.root) as client:
        client.drop_database(database.name)


@pytest.fixture
def stage(prepared: PreparedDatabase, redis_server: RedisServer, tmp_path: Path) -> Stage:
    stage = live_stage(tmp_path, "asyncio", prepared.mongod, redis_server, database=prepared.name)
    for file in prepared.secrets.iterdir():
        (tmp_path / "secrets" / file.name).write_bytes(file.read_bytes())
    return stage.with_settings(CREDIT_REENCRYPTION_DELAY="1ms")


def keys(stage: Stage, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    for name, value in stage.environment.items():
        monkeypatch.setenv(name, value)
    return main(["keys", *arguments])


def test_a_key_is_retired_once_a_running_service_has_encrypted_all_anew(
    prepared: PreparedDatabase,
    stage: Stage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    secret = tmp_path / "secrets" / "encryption_key"
    with prepared.mongod.client(prepared.mongod.root) as root:
        database: Database[dict[str, Any]] = root[prepared.name]
        with running(stage, tmp_path) as product:
            ada = Person(product, "ada")
            stored = {"name": {"$not": {"$regex": "^system[.]"}}}
            names = database.list_collection_names(filter=stored)
            assert {"users", "user_sessions", "audit_logs"} <= set(names)
            told = repr([list(database[name].find()) for name in names])
            assert "ada@example" not in told
            assert "python-httpx" not in told
            assert "'127.0.0.1'" not in told
            database.users.update_one(
                {}, {"$set": {"email": "ada@example.com", "email_key": "ada@example.com"}}
            )
            assert ada.ask("GET", "/users/me").json()["email"] == "ada@example.com"

        assert keys(stage, monkeypatch, "status", "encryption") == 0
        told = capsys.readouterr().out
        old = told.split()[0]
        assert "in the clear: 1; of unknown keys: 0; damaged: 0" in told
        before = parse_encryption_ring(secret.read_text().strip())
        ring = EncryptionRing(before.index_root, (*before.keys, RingKey(NEW, 1)))
        secret.write_text(encryption_ring_text(ring))
        assert keys(stage, monkeypatch, "rotate", "encryption", "--retire", old) == 1
        assert f"stored values still name {old}" in capsys.readouterr().err

        with running(stage, tmp_path) as product:
            swept = 'credit_field_reencrypted_total{collection="audit_logs",field="address"}'
            wait_until(lambda: product.metrics().get(swept, 0) > 0, "an audit event")
            left = [
                f'credit_field_sweep_remaining{{collection="{name}"}}'
                for name in ("users", "user_sessions", "audit_logs")
            ]
            wait_until(lambda: all(product.metrics().get(each) == 0 for each in left), "the sweep")
            assert keys(stage, monkeypatch, "status", "encryption") == 0
            lines = capsys.readouterr().out.splitlines()
            assert lines[0].startswith(old)
            assert lines[0].endswith("unused")
            assert lines[1].endswith("values")
            assert lines[2] == "in the clear: 0; of unknown keys: 0; damaged: 0"
            assert keys(stage, monkeypatch, "rotate", "encryption", "--retire", old) == 0


def test_a_damaged_value_is_an_internal_error_an_event_and_a_number(
    prepared: PreparedDatabase, stage: Stage, tmp_path: Path
) -> None:
    with prepared.mongod.client(prepared.mongod.root) as root, running(stage, tmp_path) as product:
        people = root[prepared.name].users
        ada = Person(product, "ada")
        (stored,) = people.find()
        damaged = stored["email"][:-1] + bytes([stored["email"][-1] ^ 1])
        people.update_one({"_id": stored["_id"]}, {"$set": {"email": damaged}})
        for answer in (ada.ask("GET", "/users/me"), product.admin("GET", "/users")):
            assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
            assert "example" not in answer.text
        labels = '{collection="users",fault="not_authentic",field="email"}'
        assert product.metrics()[f"credit_field_unreadable_total{labels}"] >= 2

        def events() -> list[dict[str, Any]]:
            found = product.admin("GET", "/admin/audit?action=field.unreadable").json()
            return list(found["items"])

        wait_until(lambda: len(events()) == 1, "the event")
        (event,) = events()
        assert event["resource"] == f"field:users/{stored['_id']}"
        assert "example" not in json.dumps(event)
