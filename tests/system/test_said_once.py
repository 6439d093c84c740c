"""What was said once over Redis and not heard: two workers, real sockets, and a Redis that fails in between.

What a client may rely on: within five seconds every open socket is told how the accounts of its user stand,
or is closed; what has ended is refused by all; and the answer to whoever ended it is what is true.
"""

from __future__ import annotations

import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from adapters.mongo.identity import sessions
from tests.servers.fault_proxy import FaultProxy
from tests.servers.mongod import MongodServer
from tests.servers.redis_server import RedisServer
from tests.system.product import PASSWORD, Person, Product, Stage, WebSocket, live_stage, running
from tests.system.test_identity_workers import seen_by_all

GAP_S_MAX: Final = 5.0
BELIEVED_S_MAX: Final = 1.0
SLACK_S: Final = 2.0
"""A busy machine's, on top of what is promised."""
SOCKETS: Final = 4
"""The kernel deals them out to the two workers."""
MANY: Final = "100000/60s"


def stage_on(directory: Path, runtime: str, mongod: MongodServer, redis_server: RedisServer) -> Stage:
    return live_stage(
        directory, runtime, mongod, redis_server, database=f"said_{secrets.token_hex(6)}"
    ).with_settings(
        CREDIT_ALLOWLIST="127.0.0.1/32",
        CREDIT_RATE_LIMIT_LOGIN=MANY,
        CREDIT_RATE_LIMIT_REGISTER=MANY,
        # So that a busy machine is not taken for a Redis that is away.
        CREDIT_REDIS_DECISION_TIMEOUT="200ms",
    )


@dataclass(frozen=True, slots=True)
class Site:
    """A service of two workers on a Redis that a test may maltreat."""

    product: Product
    redis_server: RedisServer
    stage: Stage
    directory: Path

    @contextmanager
    def nobody_listening(self) -> Iterator[None]:
        """Within the block every subscription is killed as soon as it is there."""
        over = threading.Event()
        begun = threading.Event()

        def kill_all() -> None:
            with self.redis_server.client() as client:
                while not over.wait(0.005):
                    client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
                    begun.set()

        killer = threading.Thread(target=kill_all)
        killer.start()
        try:
            assert begun.wait(GAP_S_MAX)
            yield
        finally:
            over.set()
            killer.join()


@pytest.fixture(scope="module", params=["uvloop", "trio"])
def site(
    request: pytest.FixtureRequest, mongod: MongodServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("said")
    with closing(RedisServer().start()) as redis_server:
        stage = stage_on(directory, request.param, mongod, redis_server)
        with running(stage, directory, ("--workers", "2")) as product:
            # A connection of its own for each request, so that both workers are asked.
            product.http.headers["Connection"] = "close"
            yield Site(product, redis_server, stage, directory)


@pytest.fixture
def person(site: Site) -> Person:
    until_settled(site.product)
    return Person(site.product, f"p{secrets.token_hex(6)}")


class Account:
    """An account of a person's, that somebody gives credits to."""

    def __init__(self, person: Person) -> None:
        self.owner = person
        body = {"asset": "GEM", "user_id": person.id}
        opened = person.product.admin("POST", "/credits/accounts", body)
        assert opened.status_code == 201, opened.text
        self.id: str = opened.json()["id"]

    def gets(self, amount: int, product: Product | None = None) -> None:
        body = {"account": self.id, "amount": amount, "category": "paid"}
        granted = (product or self.owner.product).admin("POST", "/credits/grants", body)
        assert granted.status_code == 201, granted.text

    def stands_at(self) -> dict[str, Any]:
        answer = self.owner.ask("GET", f"/credits/accounts/{self.id}").json()
        return {name: answer[name] for name in ("posted", "held", "available")}


@contextmanager
def sockets_of(person: Person) -> Iterator[list[WebSocket]]:
    with ExitStack() as stack:
        yield [stack.enter_context(person.socket()) for _ in range(SOCKETS)]


def connection_of(socket: WebSocket) -> ClientConnection:
    return socket._connection


def until_told(socket: WebSocket, stands: dict[str, Any], seconds: float) -> list[int]:
    """Reads until a balance says how the account stands; the `seq` of each balance told."""
    give_up_s = time.monotonic() + seconds
    seqs: list[int] = []
    while True:
        frame = json.loads(connection_of(socket).recv(timeout=max(0.01, give_up_s - time.monotonic())))
        if frame["type"] == "balance":
            seqs.append(frame["seq"])
            if {name: frame[name] for name in stands} == stands:
                return seqs


def close_code(socket: WebSocket, seconds: float) -> int:
    """How the service closes it within the time."""
    give_up_s = time.monotonic() + seconds

    def read_on() -> NoReturn:
        while True:
            connection_of(socket).recv(timeout=max(0.01, give_up_s - time.monotonic()))

    with pytest.raises(ConnectionClosed) as closed:
        read_on()
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


def assert_told(sockets: Sequence[WebSocket], account: Account, seconds: float = GAP_S_MAX) -> None:
    stands, began_s = account.stands_at(), time.monotonic()
    for socket in sockets:
        seqs = until_told(socket, stands, began_s + seconds + SLACK_S - time.monotonic())
        assert seqs == sorted(seqs), "no older balance follows a newer one"


def test_after_a_killed_subscription_every_socket_is_told_how_its_accounts_stand(
    site: Site, person: Person
) -> None:
    account = Account(person)
    with sockets_of(person) as sockets:
        for amount in (1, 10, 100):
            with site.nobody_listening():
                account.gets(amount)
            assert_told(sockets, account)
        # And it goes on as if nothing had happened.
        account.gets(1_000)
        assert_told(sockets, account, seconds=1.0)


def leave(person: Person) -> int:
    return person.product.admin("DELETE", f"/users/{person.id}").status_code


def logout(person: Person) -> int:
    return person.ask("POST", "/auth/logout").status_code


@pytest.mark.parametrize("end", [leave, logout])
def test_after_a_killed_subscription_the_sockets_of_what_ended_are_closed(
    site: Site, person: Person, end: Callable[[Person], int]
) -> None:
    with sockets_of(person) as sockets:
        with site.nobody_listening():
            assert end(person) == 204
        assert {close_code(socket, GAP_S_MAX + SLACK_S) for socket in sockets} == {4401}


def test_a_ban_by_hand_closes_the_users_sockets_though_nobody_heard_of_it(site: Site, person: Person) -> None:
    with sockets_of(person) as sockets:
        body = {"type": "user", "identifier": person.id, "seconds": 60, "reason": "a test"}
        with site.nobody_listening():
            assert site.product.admin("POST", "/admin/bans", body).status_code == 201
        assert {close_code(socket, GAP_S_MAX + SLACK_S) for socket in sockets} == {4403}


def test_a_publisher_that_nobody_hears_is_made_good_for_by_whoever_is_connected(
    site: Site, person: Person
) -> None:
    """Another worker, on another Redis: as one that died between the append and the push, for good."""
    account = Account(person)
    with closing(RedisServer().start()) as elsewhere:
        directory = site.directory / secrets.token_hex(4)
        directory.mkdir()
        (directory / "redis_password").write_text(elsewhere.password)
        stage = site.stage.with_settings(
            CREDIT_REDIS_URL=elsewhere.url, REDIS_PASSWORD_FILE=str(directory / "redis_password")
        )
        with running(stage, directory) as unheard, sockets_of(person) as sockets:
            account.gets(7, unheard)
            assert_told(sockets, account)
            account.gets(70, unheard)
            account.gets(700)
            assert_told(sockets, account)
            # The same for what ends: Redis here never hears of it.
            assert (
                Product.anyone(
                    unheard,
                    "POST",
                    "/auth/logout",
                    Authorization=f"Bearer {person.tokens['access_token']}",
                    X_Device_Id=person.tokens["device_id"],
                ).status_code
                == 204
            )
            until_refused(site.product, person.tokens)
            assert {close_code(socket, GAP_S_MAX) for socket in sockets} == {4401}


def test_what_ends_while_redis_is_late_is_done_and_believed_by_nobody(site: Site, person: Person) -> None:
    with site.redis_server.client() as client:
        client.execute_command("CLIENT", "PAUSE", 300)
    changed = site.product.admin("PATCH", f"/users/{person.id}", {"roles": ["analyst"]})
    assert changed.status_code == 200, changed.text
    assert seen_by_all(site.product, person.tokens) == {(401, "invalid_token")}


def test_what_ends_while_redis_is_frozen_is_done_and_refused_everywhere_when_it_is_back(
    site: Site, person: Person
) -> None:
    other = Person(site.product, f"o{secrets.token_hex(6)}")
    account = Account(person)
    with sockets_of(person) as sockets, sockets_of(other) as ended:
        site.redis_server.freeze()
        try:
            assert leave(other) == 204
            assert {close_code(socket, GAP_S_MAX + SLACK_S) for socket in ended} == {4401}
            # What Redis does not carry is told all the same.
            account.gets(5)
            for socket in sockets:
                until_told(socket, {"posted": 5}, GAP_S_MAX + SLACK_S)
        finally:
            site.redis_server.thaw()
        until_refused(site.product, other.tokens)
    until_ready(site.product)


def test_an_ending_whose_process_died_right_after_it_is_found_where_it_is_kept(
    site: Site, person: Person, mongod: MongodServer
) -> None:
    database = site.stage.environment["CREDIT_MONGO_URL"].partition("?")[0].rpartition("/")[2]
    with sockets_of(person) as sockets:
        assert seen_by_all(site.product, person.tokens) == {(200, "")}
        with mongod.client(mongod.root) as client:
            client[database][sessions.COLLECTION].update_one(
                {"_id": person.tokens["session_id"]}, {"$set": {"revoked_ms": int(time.time() * 1000)}}
            )
        until_refused(site.product, person.tokens)
        assert {close_code(socket, GAP_S_MAX) for socket in sockets} == {4401}


def until_refused(product: Product, tokens: dict[str, Any]) -> None:
    """By every worker, as soon as is promised."""
    give_up_s = time.monotonic() + BELIEVED_S_MAX + SLACK_S
    while (seen := seen_by_all(product, tokens)) != {(401, "invalid_token")}:
        assert time.monotonic() < give_up_s, seen


def until_settled(product: Product) -> None:
    """Redis is back for both workers: after a late answer a worker decides alone for a second."""
    give_up_s, in_a_row = time.monotonic() + 20, 0
    while in_a_row < 2 * SOCKETS:
        login = product.anyone("POST", "/auth/login", {"username": "nobody", "password": PASSWORD})
        in_a_row = in_a_row + 1 if login.status_code == 401 else 0
        assert time.monotonic() < give_up_s, login.text


def until_ready(product: Product) -> None:
    give_up_s = time.monotonic() + 20
    while product.anyone("GET", "/health/ready").status_code != 200:
        assert time.monotonic() < give_up_s, product.anyone("GET", "/health/ready").text
        time.sleep(0.05)


def until_login(product: Product, name: str) -> float:
    """Seconds until a login is answered as it should be."""
    began_s = time.monotonic()
    while product.anyone("POST", "/auth/login", {"username": name, "password": PASSWORD}).status_code != 200:
        assert time.monotonic() - began_s < 20, "no login"
        time.sleep(0.02)
    return time.monotonic() - began_s


def until_left(server: RedisServer) -> None:
    """Nobody listens there any more."""
    give_up_s = time.monotonic() + GAP_S_MAX + SLACK_S
    with server.client() as client:
        while listening := [each for each in client.client_list() if each["sub"] != "0"]:
            assert time.monotonic() < give_up_s, listening
            time.sleep(0.05)


def test_a_redis_that_writes_nothing_is_named_by_readiness_and_metrics(site: Site) -> None:
    def is_up() -> float:
        return site.product.metrics()['credit_dependency_up{name="redis",role="limiter"}']

    with site.redis_server.client() as client:
        client.config_set("min-replicas-to-write", 1)
        try:
            refused = site.product.anyone("POST", "/auth/login", {"username": "nobody", "password": PASSWORD})
            assert refused.status_code == 503
            give_up_s = time.monotonic() + 20
            # Its answers are half a second old at most.
            while (ready := site.product.anyone("GET", "/health/ready")).status_code == 200:
                assert time.monotonic() < give_up_s
            assert {"name": "redis", "role": "limiter"} in ready.json()["parts"]
            while is_up() != 0:
                assert time.monotonic() < give_up_s
                time.sleep(0.1)
        finally:
            client.config_set("min-replicas-to-write", 0)
    until_ready(site.product)


@pytest.mark.parametrize("runtime", ["uvloop", "trio"])
def test_a_demoted_redis_is_left_for_the_one_that_the_address_leads_to(
    runtime: str, mongod: MongodServer, tmp_path: Path
) -> None:
    with closing(RedisServer().start()) as old, closing(RedisServer(twin=old).start()) as new:
        proxy = FaultProxy(old.port)
        with proxy.running():
            stage = stage_on(tmp_path, runtime, mongod, old).with_settings(
                CREDIT_REDIS_URL=old.url.replace(f":{old.port}/", f":{proxy.port}/")
            )
            with running(stage, tmp_path, ("--workers", "2")) as product:
                product.http.headers["Connection"] = "close"
                person = Person(product, "ada")
                account = Account(person)
                with sockets_of(person) as sockets:
                    account.gets(1)
                    assert_told(sockets, account)
                    proxy.lead_to(new.port)
                    with old.client() as client:
                        client.execute_command("REPLICAOF", "127.0.0.1", new.port)
                    account.gets(10)
                    assert_told(sockets, account)
                    assert until_login(product, "ada") < GAP_S_MAX
                    until_ready(product)
                    for _ in range(6):
                        assert until_login(product, "ada") < 0.5 + SLACK_S
                    until_left(old)
                    account.gets(100)
                    assert_told(sockets, account, seconds=1.0)
                    assert logout(person) == 204
                    assert {close_code(socket, 1.0 + SLACK_S) for socket in sockets} == {4401}
