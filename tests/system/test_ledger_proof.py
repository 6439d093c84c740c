"""What a running service wrote is proved, exported and reported on from outside, while it goes on writing."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

from tests.servers.mongod import MongodServer
from tests.servers.redis_server import RedisServer
from tests.system.product import Product, Stage, live_stage, running

COMMAND_S_MAX = 60.0


def ledger(stage: Stage, *arguments: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CREDIT_")}
    return subprocess.run(
        [sys.executable, "-m", "composition", "ledger", *arguments],
        env={**inherited, **stage.environment},
        capture_output=True,
        text=True,
        timeout=COMMAND_S_MAX,
        check=False,
    )


def spend_until(product: Product, account: str, stop: Event) -> int:
    """How many transfers were posted, each with the state of its account saved behind it."""
    posted = 0
    while not stop.is_set():
        body = {"source": account, "amount": 1, "code": "spend"}
        posted += product.admin("POST", "/credits/transfers", body).status_code == 201
    return posted


def test_a_book_is_proved_while_it_is_written(
    mongod: MongodServer, redis_server: RedisServer, tmp_path: Path
) -> None:
    database = f"system_{secrets.token_hex(6)}"
    stage = live_stage(tmp_path, "asyncio", mongod, redis_server, database=database)
    with running(stage, tmp_path) as product, ThreadPoolExecutor(1) as others:
        opened = product.admin("POST", "/credits/accounts", {"asset": "GEMS", "id": "alice"})
        assert opened.status_code == 201, opened.text
        grant = {"account": "alice", "amount": 100_000, "category": "paid"}
        assert product.admin("POST", "/credits/grants", grant).status_code == 201
        stop = Event()
        spending = others.submit(spend_until, product, "alice", stop)
        try:
            reports = [ledger(stage, "verify", "--json") for _ in range(3)]
            file = tmp_path / "main.jsonl"
            exported = ledger(stage, "export", "--out", str(file))
        finally:
            stop.set()
        posted = spending.result()
        assert [report.returncode for report in reports] == [0, 0, 0], reports
        heads = [json.loads(report.stdout)["head"]["seq"] for report in reports]
        assert heads == sorted(heads)
        assert heads[0] < heads[-1]
        assert (exported.returncode, exported.stderr) == (0, "")
    final = json.loads(ledger(stage, "verify", "--json").stdout)
    assert (final["good"], final["entries"]) == (True, posted + 2)
    elsewhere = stage.with_settings(
        CREDIT_MONGO_URL=mongod.url.replace("/credit_system?", f"/{database}_copy?")
    )
    assert ledger(elsewhere, "import", str(file)).returncode == 0
    with mongod.client(mongod.analytics) as client:
        rows = list(client[database].transfers.find({"book": "main"}).sort([("seq", 1), ("id", 1)]))
        copied = list(
            client[f"{database}_copy"].transfers.find({"book": "main"}).sort([("seq", 1), ("id", 1)])
        )
    assert [row["kind"] for row in rows].count("transfer") == posted
    assert copied == rows[: len(copied)]
