"""`creditctl ledger …` on the live store, as an operator runs it."""

from __future__ import annotations

import json
import os
import pty
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pymongo.database import Database

from application.ledger.archive import line_of
from tests.application.ledger.forgery import lived
from tests.composition.hosting.serving import ROOT, WAIT_S_MAX, environ_with
from tests.servers.mongod import DATABASE, MongodServer
from tests.servers.redis_server import RedisServer
from tests.servers.secret_files import write_secrets

LIFE = lived(0)
LAST = LIFE.documents[-1]
LINES = b"".join(line_of(document) for document in LIFE.documents)
HEAD = f"{LAST.seq}:{LAST.digest}"


@dataclass(frozen=True)
class Done:
    code: int
    output: str
    errors: str


@dataclass(frozen=True)
class Store:
    """A live store with an empty book, its command line, and an administrator's way around that."""

    settings: dict[str, str]
    database: Database[dict[str, Any]]

    def ledger(self, *arguments: str, fed: bytes = b"", **streams: Any) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "composition", "ledger", *arguments],
            cwd=ROOT,
            env=environ_with(self.settings),
            input=fed,
            timeout=WAIT_S_MAX,
            check=False,
            **(streams or {"capture_output": True}),
        )
        return Done(done.returncode, (done.stdout or b"").decode(), (done.stderr or b"").decode())


@pytest.fixture
def store(mongod: MongodServer, redis_server: RedisServer, tmp_path: Path) -> Iterator[Store]:
    name = f"ledger_{secrets.token_hex(6)}"
    write_secrets(tmp_path / "secrets", mongod, redis_server)
    settings = {
        "CREDIT_MONGO_URL": mongod.url.replace(f"/{DATABASE}?", f"/{name}?"),
        # Nobody listens there: these commands need no Redis.
        "CREDIT_REDIS_URL": "redis://127.0.0.1:1/0",
        "CREDIT_SECRETS_DIR": str(tmp_path / "secrets"),
    }
    with mongod.client(mongod.admin) as client:
        yield Store(settings, client[name])
    with mongod.client(mongod.root) as client:
        client.drop_database(name)


@pytest.fixture
def filled(store: Store) -> Store:
    done = store.ledger("import", "-", fed=LINES)
    assert (done.code, done.errors) == (0, "")
    assert done.output == f"main is at {HEAD}, {LAST.seq} of {LAST.seq} documents new\n"
    return store


def test_a_good_book_is_proved(filled: Store) -> None:
    for arguments in ((), ("--head", HEAD), ("--head", f"1:{LIFE.documents[0].digest}")):
        done = filled.ledger("verify", *arguments)
        assert (done.code, done.errors) == (0, "")
        assert done.output.startswith(f"good  main: {LAST.seq} documents, ")
        assert done.output.endswith(f" entries, head {HEAD}\n")
    report = json.loads(filled.ledger("verify", "--json").output)
    assert report["good"] is True
    assert report["problem"] is None
    assert (report["head"]["seq"], report["head"]["digest"]) == (LAST.seq, LAST.digest)


def test_a_forged_document_is_named_and_ends_with_1(filled: Store) -> None:
    filled.database.journal.update_one({"seq": 7}, {"$set": {"entries.0.actor": "mallory"}})
    done = filled.ledger("verify")
    assert (done.code, done.output) == (
        1,
        "BAD   main: document 7: it is not what its digest was made of\n",
    )
    done = filled.ledger("verify", "--json")
    assert done.code == 1
    report = json.loads(done.output)
    assert (report["good"], report["problem"]["seq"], report["documents"]) == (False, 7, 6)


def test_a_cut_tail_is_named_with_the_head_that_was_kept(filled: Store) -> None:
    filled.database.journal.delete_one({"seq": LAST.seq})
    filled.database.accounts.delete_many({})
    assert filled.ledger("verify").code == 0
    done = filled.ledger("verify", "--head", HEAD)
    assert done.code == 1
    assert f"document {LAST.seq}: it is missing" in done.output


def test_the_head_is_printed_as_the_other_commands_take_it(filled: Store) -> None:
    assert filled.ledger("head").output == f"{HEAD}\n"
    report = json.loads(filled.ledger("head", "--json").output)
    assert (report["book"], report["seq"], report["digest"]) == ("main", LAST.seq, LAST.digest)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", report["recorded_at"])
    empty = filled.ledger("head", "--book", "other")
    assert (empty.code, empty.output) == (0, f"0:{'0' * 64}\n")
    filled.database.journal.update_one({"seq": LAST.seq}, {"$set": {"time": 5_000_000_000_000}})
    forged = filled.ledger("head")
    assert (forged.code, forged.output) == (1, "")
    assert f"document {LAST.seq}" in forged.errors


def test_an_empty_book_is_good(store: Store) -> None:
    done = store.ledger("verify", "--book", "other")
    assert (done.code, done.output) == (0, "good  other: the book is empty\n")


def test_an_export_is_what_was_imported(filled: Store, tmp_path: Path) -> None:
    assert filled.ledger("export").output.encode() == LINES
    file = tmp_path / "book.jsonl"
    file.write_text("an older export")
    file.chmod(0o644)
    done = filled.ledger("export", "--out", str(file))
    assert (done.code, done.output, done.errors) == (0, "", "")
    assert file.read_bytes() == LINES
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir() if "book" in path.name] == ["book.jsonl"]


def test_a_broken_book_is_not_exported_over_a_good_file(filled: Store, tmp_path: Path) -> None:
    file = tmp_path / "book.jsonl"
    file.write_text("an older export")
    filled.database.journal.delete_one({"seq": 9})
    done = filled.ledger("export", "--out", str(file))
    assert done.code == 1
    assert done.errors == "creditctl: document 9: it is missing: document 10 comes after 8\n"
    assert file.read_text() == "an older export"
    assert [path.name for path in tmp_path.iterdir() if "book" in path.name] == ["book.jsonl"]


def test_a_file_that_cannot_be_written_or_read_is_said(store: Store, tmp_path: Path) -> None:
    for arguments in (
        ("export", "--out", str(tmp_path / "nowhere" / "book.jsonl")),
        ("import", str(tmp_path / "nowhere.jsonl")),
    ):
        done = store.ledger(*arguments)
        assert done.code == 1
        assert "No such file or directory" in done.errors
        assert "Traceback" not in done.errors


def test_an_import_goes_on_where_it_was_interrupted(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "book.jsonl"
    file.write_bytes(b"".join(LINES.splitlines(keepends=True)[:11]))
    assert store.ledger("import", str(file)).code == 0
    file.write_bytes(LINES)
    done = store.ledger("import", str(file), "--head", HEAD)
    assert done.output == f"main is at {HEAD}, {LAST.seq - 11} of {LAST.seq} documents new\n"
    assert store.ledger("verify", "--head", HEAD).code == 0


def test_what_does_not_fit_is_refused_and_nothing_is_written(store: Store) -> None:
    lines = LINES.splitlines(keepends=True)
    for fed, arguments, refusal in (
        (LINES, ("--book", "other"), "book_mismatch: line 1: it is of the book main, not of other"),
        (LINES[:-20], (), f"malformed_line: line {LAST.seq}: it is not JSON"),
        (b"".join(lines[:5] + lines[6:]), (), "broken_book: line 6: document 6: it is missing"),
        (LINES.replace(b'"amount":', b'"amount": 1', 1), (), "it is not what its digest was made of"),
        (b"".join(lines[:-1]), ("--head", HEAD), f"broken_book: document {LAST.seq}: it is missing"),
    ):
        done = store.ledger("import", "-", *arguments, fed=fed)
        assert (done.code, done.output) == (1, "")
        assert refusal in done.errors
        assert "Traceback" not in done.errors
        assert store.database.journal.count_documents({}) == 0


def test_a_book_that_is_another_one_is_left_as_it_is(filled: Store) -> None:
    done = filled.ledger("import", "-", fed=b"".join(LINES.splitlines(keepends=True)[:5]))
    assert done.code == 1
    assert done.errors == (
        "creditctl: book_differs: the store's book goes on after document 5, where the file ends\n"
    )
    assert filled.database.journal.count_documents({}) == LAST.seq


@pytest.mark.parametrize("head", ["", "7", "7:abc", f"-1:{'0' * 64}", f"7:{'G' * 64}", f"٣:{'0' * 64}"])
def test_a_head_that_is_none_is_wrong_usage(store: Store, head: str) -> None:
    done = store.ledger("verify", f"--head={head}")
    assert (done.code, done.output) == (2, "")


def test_a_store_that_is_away_is_said(store: Store) -> None:
    store.settings["CREDIT_MONGO_URL"] = "mongodb://127.0.0.1:1/credit?replicaSet=rs0"
    store.settings["CREDIT_MONGO_OPERATION_TIMEOUT"] = "1s"
    done = store.ledger("verify")
    assert done.code == 1
    assert done.errors.startswith("creditctl: mongo: ")


def test_a_collection_in_the_place_of_the_view_is_said(store: Store) -> None:
    store.database.transfers.insert_one({"_id": 1})
    done = store.ledger("import", "-", fed=LINES)
    assert done.code == 1
    assert done.errors.startswith("creditctl: mongo: transfers is a collection: rename it")


def test_progress_is_shown_on_a_terminal_only(filled: Store) -> None:
    leader, follower = pty.openpty()
    try:
        done = filled.ledger("verify", stdout=subprocess.PIPE, stderr=follower)
        os.close(follower)
        shown = os.read(leader, 65_536).decode()
    finally:
        os.close(leader)
    assert done.output.startswith("good  main")
    assert "verifying [" in shown
    assert "100%" in shown
    assert shown.endswith("\r\x1b[K")


def test_whoever_reads_only_the_beginning_of_an_export_ends_it(filled: Store) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = filled.ledger("export", stdout=writing, stderr=subprocess.PIPE)
    finally:
        os.close(writing)
    assert (done.code, done.errors) == (1, "")
