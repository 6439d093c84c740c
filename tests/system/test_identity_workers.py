"""Two workers on a real store: what ends, ends on both at once, and stays ended when Redis forgets."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from tests.servers.mongod import MongodServer
from tests.servers.redis_server import RedisServer
from tests.system.product import ANSWER_S_MAX, PASSWORD, Person, Product, live_stage, running

CONNECTIONS: Final = 12
"""New ones: the kernel deals them out to the two workers."""
NEW_PASSWORD: Final = "staple battery horse"
PATIENCE_S: Final = 20.0
REPEAT_S: Final = 10.0
"""For how long after its rotation a token gives its successor again."""
EVE: Final = "device-of-eve-0001"


@pytest.fixture(scope="module")
def product(
    mongod: MongodServer, redis_server: RedisServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Product]:
    directory = tmp_path_factory.mktemp("identity")
    many = "100000/60s"
    stage = live_stage(
        directory, "uvloop", mongod, redis_server, database=f"identity_{secrets.token_hex(6)}"
    ).with_settings(
        # Refusals are what is asked for here; too many of them from one address would ban it.
        CREDIT_ALLOWLIST="127.0.0.1/32",
        CREDIT_RATE_LIMIT_LOGIN=many,
        CREDIT_RATE_LIMIT_REGISTER=many,
    )
    with running(stage, directory, ("--workers", "2")) as started:
        yield started


@pytest.fixture
def person(product: Product) -> Person:
    return Person(product, f"p{secrets.token_hex(6)}")


def fresh(product: Product, method: str, path: str, **options: Any) -> httpx.Response:
    """On a connection of its own."""
    return httpx.request(method, product.url + path, timeout=ANSWER_S_MAX, **options)


def headers_of(tokens: dict[str, Any]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}", "X-Device-Id": tokens["device_id"]}


def forget(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.flushall()


def seen_by_all(product: Product, tokens: dict[str, Any]) -> set[tuple[int, str]]:
    """What the workers say to the token, as (status, code)."""
    replies = [fresh(product, "GET", "/users/me", headers=headers_of(tokens)) for _ in range(CONNECTIONS)]
    return {(reply.status_code, reply.json().get("code", "")) for reply in replies}


def refresh(product: Product, tokens: dict[str, Any]) -> httpx.Response:
    return fresh(
        product,
        "POST",
        "/auth/refresh",
        json={"refresh_token": tokens["refresh_token"]},
        headers={"X-Device-Id": tokens["device_id"]},
    )


def refreshed_by_all(product: Product, tokens: dict[str, Any]) -> set[str]:
    """The successors that the workers give, asked all at once."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        replies = list(pool.map(lambda _: refresh(product, tokens), range(CONNECTIONS)))
    assert {reply.status_code for reply in replies} == {200}
    return {reply.json()["refresh_token"] for reply in replies}


def audited(product: Product, session_id: str, *actions: str) -> list[dict[str, Any]]:
    """What the audit log says of a session, by these actions."""
    page = product.admin("GET", f"/admin/audit?resource=session:{session_id}&limit=200").json()
    return sorted(
        (event for event in page["items"] if event["action"] in actions), key=lambda event: event["action"]
    )


def login(product: Product, name: str, password: str = PASSWORD) -> httpx.Response:
    return fresh(product, "POST", "/auth/login", json={"username": name, "password": password})


def name_of(person: Person) -> str:
    name: str = person.ask("GET", "/users/me").json()["username"]
    return name


def logout(person: Person) -> httpx.Response:
    return person.ask("POST", "/auth/logout")


def end_this_session(person: Person) -> httpx.Response:
    return person.ask("DELETE", f"/auth/sessions/{person.tokens['session_id']}")


def end_all_sessions(person: Person) -> httpx.Response:
    return person.ask("DELETE", "/auth/sessions")


def change_password(person: Person) -> httpx.Response:
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    return person.ask("PUT", "/users/me/password", body)


def leave(person: Person) -> httpx.Response:
    return person.ask("DELETE", "/users/me")


def be_removed(person: Person) -> httpx.Response:
    return person.product.admin("DELETE", f"/users/{person.id}")


ENDINGS = (logout, end_this_session, end_all_sessions, change_password, leave, be_removed)


def lose_roles(person: Person) -> httpx.Response:
    reply = person.product.admin("PATCH", f"/users/{person.id}", {"roles": ["analyst"]})
    return httpx.Response(204) if reply.status_code == 200 else reply


def log_in_too_often(person: Person) -> httpx.Response:
    name = name_of(person)
    for _ in range(20):
        assert login(person.product, name).status_code == 200
    return httpx.Response(204)


REASONS: Final[dict[Callable[[Person], httpx.Response], str]] = {
    logout: "logout",
    end_this_session: "revoked",
    end_all_sessions: "all_revoked",
    change_password: "password_changed",
    leave: "user_deleted",
    be_removed: "user_deleted",
    lose_roles: "roles_changed",
    log_in_too_often: "too_many_sessions",
}


@pytest.mark.parametrize("end", REASONS)
def test_each_session_that_ends_leaves_its_event(
    product: Product, person: Person, end: Callable[[Person], httpx.Response]
) -> None:
    assert end(person).status_code == 204
    (event,) = audited(product, person.tokens["session_id"], "session.ended")
    assert event["detail"] == {"reason": REASONS[end]}
    by_key = end in (be_removed, lose_roles)
    assert event["actor"].startswith("api_key:" if by_key else f"user:{person.id}")
    assert event["address"] == "127.0.0.1"


@pytest.mark.parametrize("end", [leave, be_removed, lose_roles])
def test_each_key_that_ends_with_its_maker_leaves_its_event_and_is_counted(
    product: Product, person: Person, end: Callable[[Person], httpx.Response]
) -> None:
    assert product.admin("PATCH", f"/users/{person.id}", {"roles": ["admin"]}).status_code == 200
    person.tokens = login(product, person.name).json()
    body = {"name": "theirs", "scopes": ["credits:read"]}
    keys = [person.ask("POST", "/api-keys", body).json()["id"] for _ in range(3)]
    counted = 'credit_audit_events_total{action="api_key.revoked"}'
    before = product.metrics().get(counted, 0)
    assert end(person).status_code == 204
    assert product.metrics()[counted] == before + 3
    (gone,) = audited(product, person.tokens["session_id"], "session.ended")
    for key_id in keys:
        (event,) = product.admin(
            "GET", f"/admin/audit?resource=api_key:{key_id}&action=api_key.revoked"
        ).json()["items"]
        assert event["detail"] == {"reason": REASONS[end]}
        assert event["request_id"] == gone["request_id"]


@pytest.mark.parametrize("end", ENDINGS)
def test_what_ends_is_refused_by_every_worker_at_once_and_after_a_flush(
    product: Product, person: Person, redis_server: RedisServer, end: Callable[[Person], httpx.Response]
) -> None:
    assert seen_by_all(product, person.tokens) == {(200, "")}
    assert end(person).status_code == 204
    assert seen_by_all(product, person.tokens) == {(401, "invalid_token")}
    forget(redis_server)
    assert seen_by_all(product, person.tokens) == {(401, "invalid_token")}
    refused = refresh(product, person.tokens)
    assert (refused.status_code, refused.json()["code"]) == (401, "invalid_token")


def test_a_refresh_token_shown_elsewhere_ends_its_family_on_every_worker(
    product: Product, person: Person, redis_server: RedisServer
) -> None:
    second = refresh(product, person.tokens)
    third = refresh(product, second.json())
    assert third.status_code == 200
    stolen = refresh(product, {**person.tokens, "device_id": EVE})
    assert (stolen.status_code, stolen.json()["code"]) == (401, "token_reused")
    for tokens in (person.tokens, second.json(), third.json()):
        assert seen_by_all(product, tokens) == {(401, "invalid_token")}
    forget(redis_server)
    assert seen_by_all(product, third.json()) == {(401, "invalid_token")}
    assert refresh(product, third.json()).status_code == 401
    assert product.metrics()["credit_tokens_reused_total"] >= 1
    ended = audited(product, person.tokens["session_id"], "session.token_reused", "session.ended")
    assert [event["action"] for event in ended] == ["session.ended", "session.token_reused"]
    assert ended[0]["detail"] == {"reason": "token_reused"}


def test_three_tabs_keep_their_family_for_ten_seconds_of_each_rotation(
    product: Product, person: Person
) -> None:
    first = person.tokens
    second = refresh(product, first).json()
    rotated_s = time.monotonic()
    third = refresh(product, second).json()
    assert refreshed_by_all(product, first) == {second["refresh_token"]}
    assert refreshed_by_all(product, second) == {third["refresh_token"]}
    # The rotation is older than this by the time its answer took.
    while time.monotonic() < rotated_s + REPEAT_S:
        time.sleep(REPEAT_S / 100)
    # Nobody has shown the newest one: whoever holds the last before it may have lost its answer.
    assert refreshed_by_all(product, second) == {third["refresh_token"]}
    late = refresh(product, first)
    assert (late.status_code, late.json()["code"]) == (401, "token_reused")
    assert refresh(product, third).json()["code"] == "invalid_token"


def test_tabs_that_each_refresh_what_they_got_last_never_lose_their_family(
    product: Product, person: Person
) -> None:
    together = threading.Barrier(8)

    def tab(_: int) -> str:
        mine = person.tokens
        together.wait(PATIENCE_S)
        for _turn in range(6):
            reply = refresh(product, mine)
            assert reply.status_code == 200, reply.text
            mine = reply.json()
        return str(mine["refresh_token"])

    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(tab, range(8)))) == 1


@pytest.mark.parametrize("end", ENDINGS)
def test_sockets_close_on_whichever_worker_they_are(
    person: Person, end: Callable[[Person], httpx.Response]
) -> None:
    with person.socket() as one, person.socket() as two, person.socket() as three, person.socket() as four:
        assert end(person).status_code == 204
        for socket in (one, two, three, four):
            with pytest.raises(ConnectionClosed) as closed:
                socket.receive()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4401


def test_fifty_refreshes_at_once_on_two_workers_give_one_successor(product: Product, person: Person) -> None:
    together = threading.Barrier(50)

    def at_once(_: int) -> httpx.Response:
        together.wait(PATIENCE_S)
        return refresh(product, person.tokens)

    with ThreadPoolExecutor(50) as pool:
        replies = list(pool.map(at_once, range(50)))
    assert {reply.status_code for reply in replies} == {200}
    successors = {reply.json()["refresh_token"] for reply in replies}
    assert len(successors) == 1
    again = refresh(product, {**person.tokens, "refresh_token": successors.pop()})
    assert again.status_code == 200


def test_logins_that_race_a_change_of_password_lose(product: Product, person: Person) -> None:
    name = name_of(person)
    begun, opened = threading.Semaphore(0), list[dict[str, Any]]()

    def log_in_until_refused() -> None:
        while (reply := login(product, name)).status_code == 200:
            opened.append(reply.json())
            begun.release()
        assert (reply.status_code, reply.json()["code"]) == (401, "invalid_credentials")

    with ThreadPoolExecutor(4) as pool:
        racing = [pool.submit(log_in_until_refused) for _ in range(4)]
        for _ in range(6):
            assert begun.acquire(timeout=PATIENCE_S)
        # Whichever login it was, the session of the change itself may have made room for it.
        current = login(product, name).json()
        body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
        changed = fresh(product, "PUT", "/users/me/password", json=body, headers=headers_of(current))
        assert changed.status_code == 204, changed.text
        for each in racing:
            each.result(PATIENCE_S)
    for tokens in opened[-8:]:
        reply = fresh(product, "GET", "/users/me", headers=headers_of(tokens))
        assert (reply.status_code, reply.json()["code"]) == (401, "invalid_token")
        assert refresh(product, tokens).status_code == 401
    assert login(product, name, NEW_PASSWORD).status_code == 200


def test_one_user_has_so_many_sessions_and_the_oldest_ends_everywhere(
    product: Product, person: Person
) -> None:
    name = name_of(person)
    with ThreadPoolExecutor(5) as pool:
        others = [reply.json() for reply in pool.map(lambda _: login(product, name), range(20))]
    assert seen_by_all(product, person.tokens) == {(401, "invalid_token")}
    listed = fresh(product, "GET", "/auth/sessions?limit=200", headers=headers_of(others[-1])).json()
    assert {session["id"] for session in listed["items"]} == {tokens["session_id"] for tokens in others}


def test_a_flush_makes_no_device_unknown_and_no_guesser_innocent(
    redis_server: RedisServer, mongod: MongodServer, tmp_path: Path
) -> None:
    stage = live_stage(
        tmp_path, "asyncio", mongod, redis_server, database=f"guessing_{secrets.token_hex(6)}"
    ).with_settings(
        CREDIT_RATE_LIMIT_LOGIN="3/60s", CREDIT_TRUSTED_PROXIES="127.0.0.1/32", CREDIT_BAN_THRESHOLD="10000"
    )
    with running(stage, tmp_path) as strict:
        owner = Person(strict, "owner")

        def guess(password: str, address: int, **headers: str) -> httpx.Response:
            return strict.anyone(
                "POST",
                "/auth/login",
                {"username": "owner", "password": password},
                X_Forwarded_For=f"198.51.100.{address}",
                **headers,
            )

        # The owner's own login is in the window, so it closes after two failures; a flush opens it again.
        assert [guess("wrong password", at).status_code for at in range(3)] == [401, 401, 429]
        forget(redis_server)
        assert guess("wrong password", 3).status_code == 401
        forget(redis_server)
        # The window is empty, but not what three failures led to: the third of a minute.
        refused = guess(PASSWORD, 50)
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
        assert 1 <= int(refused.headers["Retry-After"]) <= 20
        known = guess(PASSWORD, 51, X_Device_Id=owner.tokens["device_id"])
        assert known.status_code == 200, known.text


def test_active_sessions_and_users_are_counted(product: Product) -> None:
    def counts() -> tuple[float, float]:
        samples = product.metrics()
        return samples["credit_sessions_active"], samples["credit_users_active"]

    people = [Person(product, f"counted{secrets.token_hex(4)}") for _ in range(2)]
    login(product, name_of(people[0]))
    before = settled(counts)
    for person in people:
        assert leave(person).status_code == 204
    give_up_s = time.monotonic() + PATIENCE_S
    while counts() != (before[0] - 3, before[1] - 2):
        assert time.monotonic() < give_up_s, (before, counts())
        time.sleep(0.05)


def settled(counts: Callable[[], tuple[float, float]]) -> tuple[float, float]:
    """What they stand at once they were the same for three seconds: each worker counts once a second."""
    seen: list[tuple[float, float]] = []
    give_up_s = time.monotonic() + PATIENCE_S
    while len(seen) < 12 or len(set(seen[-12:])) > 1:
        assert time.monotonic() < give_up_s, seen[-12:]
        seen.append(counts())
        time.sleep(0.25)
    return seen[-1]
