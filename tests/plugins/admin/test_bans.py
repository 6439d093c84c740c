"""Bans and limits in administrators' hands, over the whole service in memory."""

from __future__ import annotations

from functools import partial
from typing import Any
from urllib.parse import quote

import pytest

from adapters.memory.idempotency import MemoryIdempotencyStore
from credit_system import rfc3339
from domain.audit import AuditAction, AuditEvent, AuditFilter
from domain.idempotency import RememberedAnswer
from domain.identity.api_keys import Scope
from ports.errors import DependencyUnavailable
from tests.adapters.web.client import PEER, Reply
from tests.adapters.web.credits import House, live
from tests.adapters.web.service import START_MS
from tests.adapters.web.test_error_frequency import settled
from tests.conformance.runtimes import Driver

REASON = "said so"


def ban_of(identifier: str, kind: str = "ip", **more: Any) -> dict[str, Any]:
    return {"type": kind, "identifier": identifier, "reason": REASON, **more}


async def events(house: House) -> list[tuple[str, str, str, dict[str, Any]]]:
    """Actor, action, resource and detail of what happened about bans and limits, oldest first."""
    await house.manager.use_cases.audit_trail.flush()
    found: list[AuditEvent] = []
    for action in (AuditAction.BAN_ADDED, AuditAction.BAN_LIFTED, AuditAction.LIMITS_CLEARED):
        page = await house.stores.audit.find(AuditFilter(action=action), limit=200, cursor=None)
        found += page.items
    return [
        (event.actor, event.action.value, event.resource, dict(event.detail))
        for event in sorted(found, key=lambda event: event.id)
    ]


def test_a_ban_shuts_out_at_once_is_listed_and_lifted_at_once(run_real: Driver) -> None:
    async def story(house: House) -> None:
        added = await house.post("/admin/bans", ban_of(PEER, seconds=90))
        assert added.status == 201
        ban = {
            "type": "ip",
            "identifier": PEER,
            "until": rfc3339(START_MS + 90_000),
            "level": 1,
            "reason": REASON,
        }
        assert added.json() == ban
        refused = await house.get("/", headers={})
        assert (refused.status, refused.code, refused.header("retry-after")) == (403, "banned", "90")
        # A verified key is counted by itself, not by its address.
        assert (await house.get("/admin/bans")).json() == {"items": [ban], "next_cursor": None}
        limits = (await house.get(f"/admin/limits/ip/{PEER}")).json()
        assert (limits["banned"], limits["ban"]) == (True, ban)
        house.pass_time(1)
        assert (await house.delete(f"/admin/bans/ip/{PEER}")).status == 204
        assert (await house.get("/", headers={})).status == 200
        assert (await house.delete(f"/admin/bans/ip/{PEER}")).code == "not_found"
        assert (await house.get("/admin/bans")).json()["items"] == []
        actor = (await house.get("/api-keys")).json()["items"][0]["id"]
        assert await events(house) == [
            (f"api_key:{actor}", "ban.added", f"ip:{PEER}", {"reason": REASON, "seconds": 90}),
            (f"api_key:{actor}", "ban.lifted", f"ip:{PEER}", {}),
        ]
        assert house.metrics.value("credit_bans_total", "ip") == 1
        assert house.metrics.value("credit_audit_events_total", "ban.added") == 1
        assert house.metrics.value("credit_audit_events_total", "ban.lifted") == 1

    live(run_real, story)


@pytest.mark.parametrize(
    ("kind", "named", "counted"),
    [
        ("ip", "2001:db8::1", "2001:db8::/64"),
        ("ip", "2001:DB8:0::/64", "2001:db8::/64"),
        ("ip", "2001:db8:0:1ff::9/56", "2001:db8:0:100::/56"),
        ("ip", "::ffff:192.0.2.7", "192.0.2.7"),
        ("ip", "192.0.2.7/32", "192.0.2.7"),
        ("ip", "unknown", "unknown"),
        ("user", "usr_0123", "usr_0123"),
        ("api_key", "key:1", "key:1"),
    ],
)
def test_an_identifier_in_a_path_is_taken_encoded_and_plain(
    run_real: Driver, kind: str, named: str, counted: str
) -> None:
    async def story(house: House) -> None:
        for written in (named, quote(named, safe=""), quote(named, safe="").lower(), counted):
            made = await house.made("/admin/bans", **ban_of(named, kind, seconds=60))
            assert (made["type"], made["identifier"]) == (kind, counted)
            limits = await house.get(f"/admin/limits/{kind}/{written}")
            assert limits.json()["identifier"] == counted
            assert limits.json()["banned"]
            assert (await house.delete(f"/admin/bans/{kind}/{written}")).status == 204
            assert (await house.delete(f"/admin/limits/{kind}/{written}")).status == 204

    live(run_real, story)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "type"),
        (ban_of("192.0.2.7", "planet"), "type"),
        (ban_of("192.0.2.7", "account_name"), "type"),
        (ban_of("192.0.2.256"), "identifier"),
        (ban_of("192.0.2.0/24"), "identifier"),
        (ban_of("2001:db8::/32"), "identifier"),
        (ban_of("::ffff:192.0.2.0/96"), "identifier"),
        (ban_of(""), "identifier"),
        (ban_of("1" * 255), "identifier"),
        (ban_of("no body", "user"), "identifier"),
        (ban_of("192.0.2.7", seconds=0), "seconds"),
        (ban_of("192.0.2.7", seconds=366 * 86_400 + 1), "seconds"),
        (ban_of("192.0.2.7", seconds=1.5), "seconds"),
        (ban_of("192.0.2.7", reason=""), "reason"),
        (ban_of("192.0.2.7", reason="x" * 201), "reason"),
        (ban_of("192.0.2.7", reason="  "), "reason"),
        (ban_of("192.0.2.7", reason="x\nip 203.0.113.1 until never"), "reason"),
        (ban_of("192.0.2.7", reason="\x1b[2J"), "reason"),
        ({"type": "ip", "identifier": "192.0.2.7"}, "reason"),
        (ban_of("192.0.2.7", until="2030-01-01T00:00:00Z"), "until"),
        (ban_of("198.51.100.7"), "identifier"),
        (ban_of("2001:db8:a::7"), "identifier"),
    ],
)
def test_a_ban_that_cannot_be_is_refused_with_the_field_named(
    run_real: Driver, body: dict[str, Any], field: str
) -> None:
    async def story(house: House) -> None:
        reply = await house.post("/admin/bans", body)
        assert (reply.status, reply.code, reply.json()["field"]) == (400, "validation_failed", field)
        assert (await house.get("/admin/bans")).json()["items"] == []
        assert await events(house) == []

    live(run_real, story, environ={"CREDIT_ALLOWLIST": "198.51.100.0/24,2001:db8:a::/48"})


@pytest.mark.parametrize("path", ["/admin/bans/planet/x", "/admin/bans/ip/x", "/admin/limits/ip/10.0.0.0/8",
                                  "/admin/limits/planet/x", "/admin/limits/user/a%20b"])  # fmt: skip
def test_a_path_that_names_nobody_is_refused(run_real: Driver, path: str) -> None:
    async def story(house: House) -> None:
        reply = await house.delete(path)
        assert (reply.status, reply.code) == (400, "validation_failed")

    live(run_real, story)


def test_bans_are_listed_in_pages(run_real: Driver) -> None:
    async def story(house: House) -> None:
        for number in range(5):
            await house.made("/admin/bans", **ban_of(f"192.0.2.{number}", seconds=100 + number))
        seen, cursor = [], None
        while True:
            query = "limit=2" + (f"&cursor={quote(cursor)}" if cursor else "")
            page = (await house.get(f"/admin/bans?{query}")).json()
            seen += [ban["identifier"] for ban in page["items"]]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert seen == [f"192.0.2.{number}" for number in (4, 3, 2, 1, 0)]
        for bad in ("x", "1", "1.", ".x", "-1.x"):
            assert (await house.get(f"/admin/bans?cursor={bad}")).json()["field"] == "cursor"

    live(run_real, story)


def test_without_seconds_each_ban_is_longer_than_the_last(run_real: Driver) -> None:
    async def story(house: House) -> None:
        levels = [(await house.made("/admin/bans", **ban_of("192.0.2.7")))["level"] for _ in range(3)]
        assert levels == [1, 2, 3]

    live(run_real, story)


async def under_key(house: House, method: str, path: str, body: object = None, *, key: str = "k-1") -> Reply:
    headers = {**house.admin, "Idempotency-Key": key}
    return await house.client.request(method, path, json=body, headers=headers)


def is_replayed(reply: Reply) -> bool:
    return reply.all("idempotent-replayed") == ["true"]


def test_a_ban_sent_again_under_its_key_is_imposed_once(run_real: Driver) -> None:
    async def story(house: House) -> None:
        body = ban_of("192.0.2.7", seconds=90)
        first, *again = [await under_key(house, "POST", "/admin/bans", body) for _ in range(3)]
        assert (first.status, first.json()["level"], is_replayed(first)) == (201, 1, False)
        for reply in again:
            assert (reply.status, reply.json(), is_replayed(reply)) == (201, first.json(), True)
        assert len(await events(house)) == 1
        other = await under_key(house, "POST", "/admin/bans", ban_of("192.0.2.8"))
        assert (other.status, other.code) == (409, "idempotency_conflict")
        assert len((await house.get("/admin/bans")).json()["items"]) == 1
        further = await under_key(house, "POST", "/admin/bans", body, key="k-2")
        assert (further.json()["level"], is_replayed(further)) == (2, False)

    live(run_real, story)


def test_a_ban_that_was_refused_may_be_tried_again_under_its_key(run_real: Driver) -> None:
    async def story(house: House) -> None:
        refused = await under_key(house, "POST", "/admin/bans", ban_of("ada", "account_name"))
        assert (refused.status, refused.code) == (400, "validation_failed")
        assert (await under_key(house, "POST", "/admin/bans", ban_of("192.0.2.7"))).status == 201

    live(run_real, story)


def test_lifting_and_clearing_sent_again_undo_nothing_of_what_came_between(run_real: Driver) -> None:
    async def story(house: House) -> None:
        ban, limits = "/admin/bans/ip/192.0.2.7", f"/admin/limits/ip/{PEER}"
        assert (await under_key(house, "DELETE", ban)).code == "not_found"
        await house.made("/admin/bans", **ban_of("192.0.2.7"))
        await house.get("/", headers={})
        lifted = await under_key(house, "DELETE", ban)
        cleared = await under_key(house, "DELETE", limits, key="k-2")
        await house.made("/admin/bans", **ban_of("192.0.2.7"))
        await house.get("/", headers={})
        for path, key, first in ((ban, "k-1", lifted), (limits, "k-2", cleared)):
            again = await under_key(house, "DELETE", path, key=key)
            assert (first.status, first.body, is_replayed(first)) == (204, b"", False)
            assert (again.status, again.body, is_replayed(again)) == (204, b"", True)
            elsewhere = await under_key(house, "DELETE", path.replace("192.0.2.7", PEER) + "9", key=key)
            assert elsewhere.code == "idempotency_conflict"
        assert len((await house.get("/admin/bans")).json()["items"]) == 1
        assert (await house.get(limits)).json()["windows"][0]["used"] == 1

    live(run_real, story)


def test_a_ban_whose_answer_cannot_be_remembered_is_in_force_and_told(
    run_real: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_answers: MemoryIdempotencyStore, _answer: RememberedAnswer) -> None:
        raise DependencyUnavailable("mongodb", "switched off")

    async def story(house: House) -> None:
        monkeypatch.setattr(MemoryIdempotencyStore, "remember", away)
        levels = [
            (await under_key(house, "POST", "/admin/bans", ban_of("192.0.2.7"))).json()["level"]
            for _ in range(2)
        ]
        assert levels == [1, 2]

    live(run_real, story)


def test_bans_sent_at_once_under_one_key_are_answered_alike(run_real: Driver) -> None:
    async def story(house: House) -> None:
        send = partial(under_key, house, "POST", "/admin/bans", ban_of("192.0.2.7", seconds=90))
        tasks = [house.runtime.start(send, name="ban") for _ in range(4)]
        replies = [await task.wait() for task in tasks]
        assert {(reply.status, reply.body) for reply in replies} == {(201, replies[0].body)}
        assert [is_replayed(reply) for reply in replies].count(False) == 1

    live(run_real, story)


def test_limits_are_shown_and_forgotten(run_real: Driver) -> None:
    async def story(house: House) -> None:
        for _ in range(3):
            await house.get("/", headers={})
        await house.post("/auth/login", {"username": "nobody", "password": "not it"}, headers={})
        # The error of that login is counted behind its answer.
        await settled(house.manager.use_cases.rate_limiter)
        limits = (await house.get(f"/admin/limits/ip/{PEER}")).json()
        windows = {window["policy"]: (window["limit"], window["used"]) for window in limits["windows"]}
        assert windows["ip"] == (100, 4)
        assert windows["login"] == (10, 1)
        assert windows["errors"][1] == 1
        assert set(windows) == {"ip", "errors", "login", "register", "refresh", "password"}
        assert all(window["remaining"] == window["limit"] - window["used"] for window in limits["windows"])
        assert (limits["violations"], limits["banned"], limits["ban"]) == (0, False, None)
        name = (await house.get("/admin/limits/account_name/Nobody")).json()
        assert [window["used"] for window in name["windows"] if window["policy"] == "login"] == [1]
        assert (await house.delete(f"/admin/limits/ip/{PEER}")).status == 204
        limits = (await house.get(f"/admin/limits/ip/{PEER}")).json()
        assert {window["used"] for window in limits["windows"]} == {0}
        ((_, action, resource, _),) = await events(house)
        assert (action, resource) == ("limits.cleared", f"ip:{PEER}")

    live(run_real, story)


def test_nobody_but_an_administrator_gets_in(run_real: Driver) -> None:
    async def story(house: House) -> None:
        _, person = await house.person("ada")
        key = await house.key(*(scope for scope in Scope if scope is not Scope.ADMIN))
        for headers, status in ((person, 403), (key, 403), ({}, 401)):
            for method, path in (
                ("GET", "/admin/bans"), ("POST", "/admin/bans"), ("DELETE", "/admin/bans/ip/192.0.2.7"),
                ("GET", "/admin/limits/ip/192.0.2.7"), ("DELETE", "/admin/limits/ip/192.0.2.7"),
            ):  # fmt: skip
                assert (await house.client.request(method, path, headers=headers)).status == status

    live(run_real, story)


def test_a_ban_that_nobody_imposed_is_in_the_audit_log_too(run_real: Driver) -> None:
    async def story(house: House) -> None:
        statuses = [(await house.get("/", headers={})).status for _ in range(12)]
        assert statuses == [200] * 3 + [429] * 5 + [403] * 4
        ((actor, action, resource, detail),) = await events(house)
        assert (actor, action, resource) == ("system", "ban.added", f"ip:{PEER}")
        assert detail["reason"] == "violations"
        assert 60 <= detail["seconds"] <= 66

    live(run_real, story, environ={"CREDIT_RATE_LIMIT_IP": "3/60s"})
