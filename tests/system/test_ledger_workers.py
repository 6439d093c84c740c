"""`creditctl serve --workers 2` whose workers are killed while they append."""

from __future__ import annotations

import os
import random
import secrets
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from adapters.mongo.ledger import checkpoints, journal
from domain.ledger.account import AccountState
from domain.ledger.entries import TransferPosted
from ports.runtime import Runtime
from tests.conformance.identity import connect_as_app
from tests.conformance.runtimes import Driver, run_real
from tests.servers.mongod import DATABASE, MongodServer
from tests.servers.redis_server import RedisServer
from tests.system.ledger_audit import Told, audited, entries_by_key, whole_journal
from tests.system.product import ANSWER_S_MAX, Product, live_stage, running

__all__ = ["run_real"]

ACCOUNTS: Final = tuple(f"account-{number}" for number in range(6))
FUNDS: Final = 1_000
CLIENTS: Final = 8
ANSWERS: Final = 5 * CLIENTS
PATIENCE_S: Final = 30.0
AGAIN_S: Final = 0.02
WORKERS: Final = ("--workers", "2")

# Where mongod holds an append up, until the fail point is off.
BEFORE_THE_INSERT: Final = "hangDuringBatchInsert"
BEFORE_THE_ANSWER: Final = "hangBeforeWaitingForWriteConcern"


def until(condition: Callable[[], bool], what: str) -> None:
    """Returns once it is true; fails when it has not become so in time."""
    give_up_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up_s, f"not within {PATIENCE_S} s: {what}"
        time.sleep(AGAIN_S)


class Crowd:
    """Clients over HTTP: each sends a transfer until it is answered, whatever becomes of the connection."""

    def __init__(self, product: Product) -> None:
        self.answered: dict[str, dict[str, Any]] = {}
        self.rejected: set[str] = set()
        self.broken = 0
        """How often a request ended without an answer."""
        self._product = product
        self._stopping = threading.Event()
        self._failures: list[BaseException] = []

    @contextmanager
    def asking(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._client, args=(name,)) for name in range(CLIENTS)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stopping.set()
            for thread in threads:
                thread.join(PATIENCE_S)
        assert self._failures == []

    def goes_on(self) -> None:
        """Returns when the crowd was answered again and again."""
        before = len(self.answered)
        until(lambda: len(self.answered) >= before + ANSWERS or bool(self._failures), "answers to the crowd")

    def _client(self, name: int) -> None:
        try:
            with httpx.Client(base_url=self._product.url, timeout=ANSWER_S_MAX) as http:
                number = 0
                while not self._stopping.is_set():
                    number += 1
                    self._move(http, f"t-{name}-{number}")
        except BaseException as failure:  # noqa: BLE001 - it is raised where the crowd ends
            self._failures.append(failure)

    def _move(self, http: httpx.Client, transfer_id: str) -> None:
        source, destination = random.sample(ACCOUNTS, 2)
        amount = random.randrange(1, FUNDS // 2)
        body = {"id": transfer_id, "source": source, "destination": destination, "amount": amount}
        answer = self.until_answered(http, {**body, "code": "test"})
        if answer.status_code == 409:
            assert answer.json()["code"] == "insufficient_funds"
            self.rejected.add(transfer_id)
            return
        assert answer.status_code == 201, answer.text
        self.answered[transfer_id] = answer.json()
        if random.random() < 0.2:
            again = self.until_answered(http, {**body, "code": "test"})
            assert (again.status_code, again.json()) == (201, answer.json())
            assert again.headers["Idempotent-Replayed"] == "true"

    def until_answered(self, http: httpx.Client, body: dict[str, Any]) -> httpx.Response:
        give_up_s = time.monotonic() + PATIENCE_S
        while True:
            assert time.monotonic() < give_up_s, f"{body['id']} was not answered within {PATIENCE_S} s"
            try:
                answer = http.post("/credits/transfers", json=body, headers={"X-API-Key": self._product.key})
            except httpx.TransportError:
                self.broken += 1
            else:
                if answer.status_code != 503:
                    return answer
            time.sleep(AGAIN_S)


def workers_of(product: Product) -> set[int]:
    pid = product.process.pid
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def owner_of(port: int, pids: set[int]) -> int | None:
    """Which of the processes has the connection from this port of 127.0.0.1."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{fields[9]}]" for fields in lines if fields[1] == f"0100007F:{port:04X}"}
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(FileNotFoundError):  # It was closed since it was listed.
                if str(descriptor.readlink()) in inodes:
                    return pid
    return None


class Appends:
    """The product's appends as mongod sees them, and the fail points that hold them up."""

    def __init__(self, mongod: MongodServer, database: str) -> None:
        self._namespace = f"{database}.{journal.COLLECTION}"
        self._client = mongod.client(mongod.root)

    def close(self) -> None:
        self._client.close()

    @contextmanager
    def held(self, where: str) -> Iterator[None]:
        command = self._client.admin.command
        command({"configureFailPoint": where, "mode": "alwaysOn", "data": {"nss": self._namespace}})
        try:
            yield
        finally:
            command({"configureFailPoint": where, "mode": "off"})

    def writer(self, pids: set[int]) -> int:
        """The process whose append is held up, once one is."""
        found: list[int] = []

        def find() -> bool:
            found.extend(pid for port in self._ports() if (pid := owner_of(port, pids)) is not None)
            return bool(found)

        until(find, "an append that is held up")
        return found[0]

    def _ports(self) -> Sequence[int]:
        stages: list[dict[str, Any]] = [
            {"$currentOp": {"allUsers": True}},
            {"$match": {"ns": self._namespace, "op": "insert", "client": {"$exists": True}}},
        ]
        return [int(op["client"].rpartition(":")[2]) for op in self._client.admin.aggregate(stages)]


@pytest.fixture
def database(mongod: MongodServer) -> Iterator[str]:
    name = f"system_{secrets.token_hex(6)}"
    yield name
    with mongod.client(mongod.root) as client:
        client.drop_database(name)


@pytest.mark.parametrize("run_real", ["asyncio"], indirect=True)
def test_a_worker_killed_at_any_point_loses_and_repeats_no_transfer(
    mongod: MongodServer, redis_server: RedisServer, database: str, tmp_path: Path, run_real: Driver
) -> None:
    stage = live_stage(tmp_path, "uvloop", mongod, redis_server, database=database)
    with running(stage, tmp_path, WORKERS) as product:
        open_accounts(product)
        crowd = Crowd(product)
        with crowd.asking():
            crowd.goes_on()
            kill_workers_as_they_append(product, Appends(mongod, database), crowd)
        assert crowd.broken >= 3, "whoever was connected to a killed worker must have noticed"
    told = Told(rejected=crowd.rejected)
    states = run_real(lambda runtime: audit(runtime, mongod, database, told, crowd.answered))
    with mongod.client(mongod.root) as client:
        for collection in (checkpoints.COLLECTION, checkpoints.SNAPSHOTS):
            client[database][collection].delete_many({})
    with running(stage, tmp_path, WORKERS) as product:
        for account in ACCOUNTS:
            answer = product.admin("GET", f"/credits/accounts/{account}").json()
            assert answer["posted"] == states[account].posted
        for transfer_id, first in random.sample(sorted(crowd.answered.items()), CLIENTS):
            body = {name: first[name] for name in ("source", "destination", "amount", "code")}
            again = product.admin("POST", "/credits/transfers", {"id": transfer_id, **body})
            assert (again.status_code, again.json()) == (201, first)


def open_accounts(product: Product) -> None:
    for account in ACCOUNTS:
        opened = product.admin("POST", "/credits/accounts", {"asset": "GEMS", "id": account})
        assert opened.status_code == 201, opened.text
        body = {"account": account, "amount": FUNDS, "category": "paid"}
        assert product.admin("POST", "/credits/grants", body).status_code == 201


def kill_workers_as_they_append(product: Product, appends: Appends, crowd: Crowd) -> None:
    try:
        for where in (BEFORE_THE_INSERT, BEFORE_THE_ANSWER):
            with appends.held(where):
                os.kill(appends.writer(workers_of(product)), signal.SIGKILL)
            crowd.goes_on()
        # Wherever they happen to be, both at once: nobody is left who remembers anything.
        for worker in workers_of(product):
            os.kill(worker, signal.SIGKILL)
        crowd.goes_on()
    finally:
        appends.close()


async def audit(
    runtime: Runtime, mongod: MongodServer, database: str, told: Told, answered: dict[str, dict[str, Any]]
) -> dict[str, AccountState]:
    driver = await connect_as_app(
        runtime, mongod, mongod.url.replace(f"/{DATABASE}?", f"/{database}?"), "pymongo"
    )
    try:
        documents = await whole_journal(journal.MongoJournal(driver))
    finally:
        await driver.close()
    found = entries_by_key(documents)
    for transfer_id, answer in answered.items():
        assert f"t:{transfer_id}" in found, f"{transfer_id} was acknowledged, and is not there"
        seq, entry = found[f"t:{transfer_id}"]
        assert isinstance(entry, TransferPosted)
        assert (seq, entry.source, entry.destination, entry.amount) == (
            *(answer["seq"], answer["source"]),
            *(answer["destination"], answer["amount"]),
        )
    return audited(documents, told)
