"""Every route of the running service, asked by every kind of caller, does what the table says."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from quart import Quart

from adapters.memory.identity.users import MemoryUsers
from adapters.web.operator_routes import PATHS as OPERATOR_PATHS
from composition.commands.api_documents import served_routes
from composition.commands.authorisation_page import page
from domain.identity.api_keys import Scope
from domain.identity.users import Role
from tests.adapters.web.authorisation import (
    CALLERS,
    CREDITS_READ,
    EVERYBODY,
    LET_IN,
    NOBODY,
    OWN,
    PERSON,
    PERSONS,
    SCOPES,
    TABLE,
    UNCOUNTED,
)
from tests.adapters.web.client import Reply
from tests.adapters.web.credits import House, live
from tests.adapters.web.service import PASSWORD
from tests.conformance.runtimes import Driver, run_real
from tests.ground.sources import PROJECT

__all__ = ["run_real"]

UNLIMITED = {
    f"CREDIT_RATE_LIMIT_{name}": "1000000/60s"
    for name in ("IP", "USER", "API_KEY", "LOGIN", "REGISTER", "REFRESH", "PASSWORD", "ERRORS")
} | {"CREDIT_BAN_THRESHOLD": "10000"}
ROLES = {"analyst": Role.ANALYST, "admin": Role.ADMIN}
ENDS_ITS_CALLER = frozenset({"POST /auth/logout", "DELETE /auth/sessions", "DELETE /users/me"})
QUERIES = {"GET /credits/top-up-rules": "?account=mine"}
"""Without it, the question is about everybody's."""
TOKEN_LIKE = "eyJhbGciOiJIUzI1NiJ9.e30.AAAA"
BAD_CREDENTIALS = {
    "no token": ({"Authorization": "Bearer nonsense"}, "invalid_token"),
    "a forged token": ({"Authorization": f"Bearer {TOKEN_LIKE}"}, "invalid_token"),
    "an unknown key": ({"X-API-Key": "ck_nobody_nothing"}, "invalid_credentials"),
}


class Town:
    """A house in which every kind of caller lives, and the owner has one of everything."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.headers: dict[str, dict[str, str]] = {NOBODY: {}}
        self.ids: dict[str, str] = {}
        self._people = 0

    async def settle(self) -> None:
        for scope in SCOPES:
            self.headers[f"key {scope}"] = await self.house.key(Scope(scope))
        for kind in PERSONS:
            self.headers[kind] = await self.person(kind)
        await self._furnish()

    async def person(self, kind: str) -> dict[str, str]:
        """Headers of a new user of this kind, logged in."""
        self._people += 1
        name = f"{kind}-{self._people}"
        address = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
        user = await self.house.client.request("POST", "/auth/register", json=address)
        assert user.status == 201, user
        user_id: str = user.json()["id"]
        self.ids[kind] = user_id
        users = self.house.stores.users
        assert isinstance(users, MemoryUsers)
        if kind in ROLES:
            known = users._users[user_id]
            users._users[user_id] = replace(known, roles=known.roles | {ROLES[kind]})
        return await self.login(name)

    async def login(self, name: str) -> dict[str, str]:
        login = {"username": name, "password": PASSWORD}
        reply = await self.house.client.request("POST", "/auth/login", json=login)
        assert reply.status == 200, reply
        tokens = reply.json()
        self.ids["newest session"] = tokens["session_id"]
        return {"Authorization": f"Bearer {tokens['access_token']}", "X-Device-Id": tokens["device_id"]}

    async def key(self) -> tuple[dict[str, str], str]:
        """Headers of a new administrator's key, and its id."""
        made = await self.house.made("/api-keys", name="test", scopes=["admin"])
        return {"X-API-Key": made["key"]}, made["id"]

    async def _furnish(self) -> None:
        house, ids = self.house, self.ids
        # The owner is the last to come; this is a second session, which may be ended.
        await self.login(f"owner-{self._people}")
        await house.open("mine", user_id=ids["owner"])
        grant = await house.give("mine", 1_000)
        hold = await house.hold("mine", 10)
        transfer = (await house.spend("mine", 10))["id"]
        rule = await house.made(
            "/credits/top-up-rules", account="mine", below=5, amount=5, category="paid", max_per_day=1
        )
        ids |= {
            "<session_id>": ids["newest session"],
            "<account_id>": "mine",
            "<asset>": "start.js",
            "<grant_id>": grant,
            "<hold_id>": hold,
            "<transfer_id>": transfer,
            "<rule_id>": rule["id"],
            # What does not exist: whoever is let in finds nothing, and nobody is harmed.
            "<key_id>": "key_of_nobody",
            "<user_id>": "usr_of_nobody",
            "<type>": "ip",
            "<identifier>": "192.0.2.200",
        }

    async def ask(self, route: str, headers: Mapping[str, str], *, method: str = "") -> Reply:
        """What the route answers to a request that names the owner's things and has an empty body."""
        verb, _, template = route.partition(" ")
        path = re.sub(r"<[^>]*>", lambda name: self.ids[name[0]], template) + QUERIES.get(route, "")
        body: Any = None if verb in ("GET", "DELETE") else {}
        return await self.house.client.request(method or verb, path, json=body, headers=headers)


def routes_of(house: House) -> set[str]:
    """Every method and path that is answered: by the framework for all plugins, and before it."""
    framework: Any = house.manager.framework
    assert isinstance(framework, Quart)
    found = {f"GET {path}" for path in OPERATOR_PATHS}
    for rule in framework.url_map.iter_rules():
        path = rule.rule.replace("<path:", "<")
        found |= {f"{method} {path}" for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}}
    return found


def expected_of(route: str, caller: str) -> tuple[int, str] | None:
    """Status and code of the refusal; None for who is let in."""
    who = TABLE[route]
    if caller in LET_IN[who]:
        return None
    if caller == NOBODY:
        return 401, "not_authenticated"
    return (404, "not_found") if who == OWN and caller in PERSONS else (403, "forbidden")


def refusal_in(reply: Reply, route: str) -> tuple[int, str] | None:
    """What kept the caller out; None when the route was reached."""
    if reply.status in (401, 403) or (reply.status == 404 and TABLE[route] == OWN):
        return reply.status, reply.code
    return None


def live_in_town(run_real: Driver, story: Any) -> None:
    async def settled(house: House) -> None:
        town = Town(house)
        await town.settle()
        await story(town)

    live(run_real, settled, environ=UNLIMITED)


def test_every_route_has_its_line_in_the_table_and_every_line_its_route(run_real: Driver) -> None:
    async def story(house: House) -> None:
        assert routes_of(house) == set(TABLE)

    live(run_real, story)


def test_the_page_says_what_the_table_says() -> None:
    routes = asyncio.run(served_routes())
    text = (PROJECT / "docs" / "authorisation.md").read_text(encoding="utf-8")
    assert text == page(routes)
    told = dict(re.findall(r"^\| `([A-Z]+ /[^`]*)` \| (.*) \|$", text, re.MULTILINE))
    # The page has a row for each permission; that another's session is not found is said above them.
    assert {route: who.replace("`", "") for route, who in told.items()} == {
        route: PERSON if who == OWN else who for route, who in TABLE.items()
    }


def test_everybody_may_do_what_the_table_says_and_nothing_else(run_real: Driver) -> None:
    async def story(town: Town) -> None:
        wrong = {}
        for route in sorted(TABLE):
            for caller in CALLERS:
                headers = town.headers[caller]
                if route in ENDS_ITS_CALLER and caller in PERSONS:
                    headers = await town.person(caller)
                reply = await town.ask(route, headers)
                assert reply.status < 500, (route, caller, reply)
                if refusal_in(reply, route) != expected_of(route, caller):
                    wrong[route, caller] = reply.status, reply.body
                if TABLE[route] == CREDITS_READ and caller in LET_IN[CREDITS_READ]:
                    assert reply.status == 200, (route, caller, reply)
        assert wrong == {}

    live_in_town(run_real, story)


def test_a_bad_credential_is_refused_on_every_route_alone_and_beside_a_good_one(run_real: Driver) -> None:
    async def story(town: Town) -> None:
        revoked, key_id = await town.key()
        assert (await town.house.delete(f"/api-keys/{key_id}")).status == 204
        ended = await town.person("admin")
        assert (await town.ask("POST /auth/logout", ended)).status == 204
        bad = {
            **BAD_CREDENTIALS,
            "a revoked key": (revoked, "invalid_credentials"),
            "the token of an ended session": (ended, "invalid_token"),
            "another device": (
                {**town.headers["admin"], "X-Device-Id": "another-device-0123456789"},
                "device_mismatch",
            ),
            "no device": (
                {"Authorization": town.headers["admin"]["Authorization"]},
                "device_mismatch",
            ),
            "another scheme beside a good key": (
                {**town.headers["key admin"], "Authorization": "Basic YTpi"},
                "not_authenticated",
            ),
            "a token without its device beside a good key": (
                {**town.headers["key admin"], "Authorization": town.headers["admin"]["Authorization"]},
                "device_mismatch",
            ),
            "the token of an ended session beside a good key": (
                {**town.headers["key admin"], **ended},
                "invalid_token",
            ),
            "a bad token beside a good key": (
                {**town.headers["key admin"], "Authorization": "Bearer nonsense"},
                "invalid_token",
            ),
        }
        wrong = {}
        for route in sorted(set(TABLE) - UNCOUNTED):
            for what, (headers, code) in bad.items():
                reply = await town.ask(route, headers)
                if reply.status != 401 or reply.code != code:
                    wrong[route, what] = reply.status, reply.body
                assert reply.header("www-authenticate").startswith("Bearer")
        assert wrong == {}

    live_in_town(run_real, story)


def test_the_banned_reach_no_route_but_the_operators(run_real: Driver) -> None:
    async def story(town: Town) -> None:
        ban = {"reason": "test", "seconds": 3600}
        key, key_id = await town.key()
        banned = {"user": (town.headers["owner"], town.ids["owner"]), "api_key": (key, key_id)}
        for kind, (_, identifier) in banned.items():
            await town.house.made("/admin/bans", type=kind, identifier=identifier, **ban)
        for route in sorted(TABLE):
            for kind, (headers, _) in banned.items():
                reply = await town.ask(route, headers)
                if route in UNCOUNTED:
                    assert reply.status == 200, (route, kind, reply)
                else:
                    assert (reply.status, reply.code) == (403, "banned"), (route, kind, reply)

    live_in_town(run_real, story)


def test_head_is_refused_where_get_is(run_real: Driver) -> None:
    async def story(town: Town) -> None:
        for route in sorted(TABLE):
            if route.startswith("GET ") and TABLE[route] != EVERYBODY:
                assert (await town.ask(route, {}, method="HEAD")).status == 401, route
                refused = expected_of(route, "key realtime:publish")
                reply = await town.ask(route, town.headers["key realtime:publish"], method="HEAD")
                assert refused is not None
                assert reply.status == refused[0], route

    live_in_town(run_real, story)


def test_a_key_of_another_book_finds_nothing_of_this_one(run_real: Driver) -> None:
    async def story(town: Town) -> None:
        key = await town.house.key(Scope.ADMIN, book="other")
        for route in sorted(routes_about_one_thing()):
            assert (await town.ask(route, key)).status == 404, route

    live_in_town(run_real, story)


def routes_about_one_thing() -> Iterator[str]:
    """Of the ledger: those whose path names an account, grant, hold, transfer or rule."""
    return (route for route in TABLE if " /credits/" in route and "<" in route)
