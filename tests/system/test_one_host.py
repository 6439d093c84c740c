"""Several workers on one book, from outside: the one that holds it dies in the middle of the traffic."""

from __future__ import annotations

import os
import secrets
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from time import monotonic, sleep
from typing import Any

import httpx
import pytest

from adapters.mongo.ledger.journal import _document
from domain.ledger.chain import Head, JournalDocument, follows, is_intact
from domain.ledger.entries import TransferPosted
from tests.servers.mongod import MongodServer
from tests.servers.redis_server import RedisServer
from tests.system.product import ANSWER_S_MAX, Product, Stage, live_stage, running
from tests.system.workers import directory_of, holder_of, workers_of

WORKERS = 3
CLIENTS = 24
TRANSFERS = 30
"""Of each client, one after the other."""
TRIES_MAX = 200
FUNDS = CLIENTS * TRANSFERS
STOPPED_TIMEOUT_S = 4.0
"""How long a client waits for a worker that may be stopped: longer than another one does."""


def journal_of(mongod: MongodServer, database: str) -> Iterator[JournalDocument]:
    with mongod.client(mongod.app) as client:
        for stored in client[database].journal.find({"book": "main"}, sort=[("seq", 1)]):
            yield _document(stored)


class Client:
    """Sends each transfer until it is answered, on connections that any worker may get."""

    def __init__(self, product: Product, name: str, account: str, *, timeout_s: float = ANSWER_S_MAX) -> None:
        # A new connection each time: any worker may get it.
        headers = {"X-API-Key": product.key, "Connection": "close"}
        self._http = httpx.Client(base_url=product.url, headers=headers, timeout=timeout_s)
        self._name = name
        self._account = account
        self.told: dict[str, dict[str, Any]] = {}

    def run(self, halfway: Event) -> None:
        for index in range(TRANSFERS):
            self._post({"id": f"{self._name}-{index}", "source": self._account, "amount": 1, "code": "spend"})
            if index == TRANSFERS // 2:
                halfway.set()
        self._http.close()

    def _post(self, body: dict[str, Any]) -> None:
        for _ in range(TRIES_MAX):
            try:
                answer = self._http.post("/credits/transfers", json=body)
            except httpx.TransportError:
                continue
            if answer.status_code != 503:
                assert answer.status_code == 201, answer.text
                self.told[body["id"]] = answer.json()
                return
        raise AssertionError(f"{body['id']} was not answered")


@pytest.fixture(params=["uvloop", "trio"])
def stage(
    request: pytest.FixtureRequest, tmp_path: Path, mongod: MongodServer, redis_server: RedisServer
) -> Stage:
    database = f"system_{secrets.token_hex(6)}"
    stage = live_stage(tmp_path, request.param, mongod, redis_server, database=database)
    many = "1000000/60s"
    return stage.with_settings(CREDIT_RATE_LIMIT_IP=many, CREDIT_RATE_LIMIT_API_KEY=many, DATABASE=database)


def wait_for_another_holder(product: Product, dead: int) -> int:
    give_up_s = monotonic() + ANSWER_S_MAX
    while (holder := holder_of(product)) in (None, dead):
        assert monotonic() < give_up_s, "nobody took the book over"
        sleep(0.005)
    assert holder is not None
    return holder


def test_a_killed_holder_loses_doubles_and_reorders_nothing(
    stage: Stage, tmp_path: Path, mongod: MongodServer
) -> None:
    with running(stage, tmp_path, ("--workers", str(WORKERS))) as product:
        opened = product.admin("POST", "/credits/accounts", {"asset": "GEMS"})
        account: str = opened.json()["id"]
        body = {"account": account, "amount": FUNDS, "category": "paid"}
        assert product.admin("POST", "/credits/grants", body).status_code == 201
        directory = directory_of(workers_of(product)[0])
        assert directory.stat().st_mode & 0o777 == 0o700
        clients = [Client(product, f"client-{number}", account) for number in range(CLIENTS)]
        halfway = Event()
        with ThreadPoolExecutor(CLIENTS) as pool:
            running_clients = [pool.submit(client.run, halfway) for client in clients]
            assert halfway.wait(ANSWER_S_MAX * 3)
            holder = holder_of(product)
            assert holder is not None
            os.kill(holder, signal.SIGKILL)
            wait_for_another_holder(product, holder)
            for each in running_clients:
                each.result()
        assert product.admin("GET", f"/credits/accounts/{account}").json()["posted"] == 0
    assert not directory.exists()
    _audit(list(journal_of(mongod, stage.environment["DATABASE"])), clients)


@pytest.mark.parametrize("stage", ["uvloop"], indirect=True)
def test_a_holder_that_is_stopped_and_goes_on_loses_and_doubles_nothing(
    stage: Stage, tmp_path: Path, mongod: MongodServer
) -> None:
    # Nobody kills it meanwhile: it wakes up with commands in its hands that others have posted since.
    patient = stage.with_settings(CREDIT_WORKER_TIMEOUT="10m")
    with running(patient, tmp_path, ("--workers", str(WORKERS))) as product:
        opened = product.admin("POST", "/credits/accounts", {"asset": "GEMS"})
        account: str = opened.json()["id"]
        body = {"account": account, "amount": FUNDS, "category": "paid"}
        assert product.admin("POST", "/credits/grants", body).status_code == 201
        clients = [
            Client(product, f"client-{number}", account, timeout_s=STOPPED_TIMEOUT_S)
            for number in range(CLIENTS)
        ]
        halfway = Event()
        with ThreadPoolExecutor(CLIENTS) as pool:
            running_clients = [pool.submit(client.run, halfway) for client in clients]
            assert halfway.wait(ANSWER_S_MAX * 3)
            holder = holder_of(product)
            assert holder is not None
            os.kill(holder, signal.SIGSTOP)
            told = sum(len(client.told) for client in clients)
            give_up_s = monotonic() + ANSWER_S_MAX * 3
            while sum(len(client.told) for client in clients) < told + CLIENTS:
                assert monotonic() < give_up_s, "nobody went on without the holder"
                sleep(0.005)
            os.kill(holder, signal.SIGCONT)
            for each in running_clients:
                each.result()
        assert product.admin("GET", f"/credits/accounts/{account}").json()["posted"] == 0
        assert holder in workers_of(product)
    _audit(list(journal_of(mongod, stage.environment["DATABASE"])), clients)


def _audit(documents: list[JournalDocument], clients: list[Client]) -> None:
    head, places = Head(), {}
    for document in documents:
        assert follows(head, document)
        assert is_intact(document)
        head = document.head
        for place, entry in enumerate(document.entries):
            if isinstance(entry, TransferPosted) and entry.code == "spend":
                assert entry.id not in places, f"{entry.id} was posted twice"
                places[entry.id] = (document.seq, place)
    assert len(places) == FUNDS
    for client in clients:
        assert len(client.told) == TRANSFERS
        assert all(name in places for name in client.told)
        seqs = [places[name][0] for name in client.told]
        assert seqs == sorted(set(seqs)), "a client's own transfers changed their order"
    # Nearly all went through the one holder's batches: one document each would be one a transfer.
    assert len(documents) < FUNDS
