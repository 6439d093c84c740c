"""`GET /admin/audit`, over the whole service in memory."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import quote

import pytest

from adapters.memory.identity.users import MemoryUsers
from domain.identity.api_keys import Scope
from domain.identity.users import Role
from tests.adapters.web.client import PEER
from tests.adapters.web.credits import House, live
from tests.adapters.web.service import PASSWORD
from tests.conformance.runtimes import Driver


def test_events_and_the_journal_stand_in_one_list(run_real: Driver) -> None:
    async def story(house: House) -> None:
        user, _ = await house.person("ada")
        house.pass_time(1_000)
        await house.person("grace")
        house.pass_time(1_000)
        await house.open("alice", user_id=user)
        house.pass_time(1_000)
        await house.made("/admin/bans", type="ip", identifier="192.0.2.7", reason="said so", seconds=60)
        await house.manager.use_cases.audit_trail.flush()
        page = (await house.get("/admin/audit?limit=3")).json()
        ban, account, session = page["items"]
        assert (ban["action"], ban["resource"], ban["address"]) == ("ban.added", "ip:192.0.2.7", PEER)
        assert ban["detail"] == {"reason": "said so", "seconds": 60}
        assert ban["actor"].startswith("api_key:")
        assert (account["action"], account["resource"]) == ("credits.account", "account:alice")
        assert (account["address"], account["request_id"]) == (None, None)
        assert session["action"] in ("session.opened", "user.registered")
        rest = (await house.get(f"/admin/audit?cursor={quote(page['next_cursor'])}")).json()
        assert "user.registered" in [line["action"] for line in rest["items"]]
        assert rest["next_cursor"] is None
        found = (await house.get(f"/admin/audit?resource={quote('ip:192.0.2.7')}")).json()
        assert found == {"items": [ban], "next_cursor": None}
        found = (await house.get(f"/admin/audit?since={quote(ban['at'])}")).json()
        assert found["items"] == [ban]
        found = (await house.get(f"/admin/audit?until={quote(ban['at'])}&action=ban.added")).json()
        assert found["items"] == []

    live(run_real, story)


def test_an_analyst_reads_it_and_others_do_not(run_real: Driver) -> None:
    async def story(house: House) -> None:
        _, person = await house.person("ada")
        key = await house.key(*(scope for scope in Scope if scope is not Scope.ADMIN))
        assert (await house.get("/admin/audit", headers=person)).status == 403
        assert (await house.get("/admin/audit", headers=key)).status == 403
        assert (await house.get("/admin/audit", headers={})).status == 401
        users = house.stores.users
        assert isinstance(users, MemoryUsers)
        grace = {"username": "grace", "email": "grace@example.com", "password": PASSWORD}
        user = (await house.post("/auth/register", grace, headers={})).json()
        users._users[user["id"]] = replace(
            users._users[user["id"]], roles=frozenset({Role.USER, Role.ANALYST})
        )
        login = await house.post("/auth/login", {"username": "grace", "password": PASSWORD}, headers={})
        analyst = {
            "Authorization": f"Bearer {login.json()['access_token']}",
            "X-Device-Id": login.json()["device_id"],
        }
        assert (await house.get("/admin/audit", headers=analyst)).status == 200
        assert (await house.get("/admin/bans", headers=analyst)).status == 403

    live(run_real, story)


def test_a_key_sees_the_journal_of_its_own_book(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("alice")
        other = await house.key(Scope.ADMIN, book="other")
        listed = (await house.get("/admin/audit?action=credits.account", headers=other)).json()
        assert listed == {"items": [], "next_cursor": None}

    live(run_real, story)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("action=nothing", "action"), ("since=yesterday", "since"), ("until=2027-01-01", "until"),
        ("limit=0", "limit"), ("limit=201", "limit"), ("cursor=x", "cursor"), ("actor=", "actor"),
        ("who=me", "who"),
    ],
)  # fmt: skip
def test_a_filter_that_cannot_be_is_refused_with_the_field_named(
    run_real: Driver, query: str, field: str
) -> None:
    async def story(house: House) -> None:
        reply = await house.get(f"/admin/audit?{query}")
        assert (reply.status, reply.json()["field"]) == (400, field)

    live(run_real, story)
