"""Top-up rules over HTTP, and what they do by themselves."""

from __future__ import annotations

from typing import Any

import pytest

from domain.identity.api_keys import Scope
from tests.adapters.web.credits import DAY_MS, House, live
from tests.conformance.runtimes import Driver

RULE = {"account": "ada", "below": 50, "amount": 100, "category": "paid", "max_per_day": 2}


async def furnished(house: House) -> None:
    await house.open("ada")
    await house.give("ada", 60)


def test_a_rule_tops_up_with_the_spend_that_went_below_and_so_often_a_day(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        rule = await house.made("/credits/top-up-rules", **RULE)
        assert rule == {"id": rule["id"], **RULE, "to": None, "last_skipped": None}
        await house.spend("ada", 10)
        assert await house.balance("ada") == (50, 0, 50), "not below yet"
        spent = await house.spend("ada", 1)
        assert await house.balance("ada") == (149, 0, 149)
        entries = (await house.get("/credits/accounts/ada/entries")).json()["items"]
        assert (entries[0]["code"], entries[0]["seq"]) == ("top_up", spent["seq"]), "in the same document"
        issued = (await house.get(f"/credits/transfers/{entries[0]['transfer_id']}")).json()
        assert issued["rule"] == rule["id"]
        grant = (await house.get(f"/credits/grants/{issued['grant']}")).json()
        assert (grant["amount"], grant["category"], grant["status"]) == (100, "paid", "active")
        await house.spend("ada", 149)
        await house.spend("ada", 100)
        assert await house.balance("ada") == (0, 0, 0), "twice is enough for a day"
        house.pass_time(DAY_MS)
        await house.hold("ada", 1)
        assert await house.balance("ada") == (100, 1, 99), (
            "on the next day it acts before the hold is looked at"
        )

    live(run_real, story)


def test_a_rule_holds_its_level_by_as_many_uses_as_it_takes_at_once(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        await house.give("ada", 600)
        rule = {"account": "ada", "below": 500, "amount": 100, "category": "paid", "max_per_day": 10}
        await house.made("/credits/top-up-rules", **rule)
        spent = await house.spend("ada", 590)
        assert await house.balance("ada") == (510, 0, 510)
        entries = (await house.get("/credits/accounts/ada/entries")).json()["items"]
        assert [(each["code"], each["amount"]) for each in entries[:2]] == [
            ("top_up", 500),
            ("purchase", -590),
        ]
        assert entries[0]["seq"] == spent["seq"], "one grant, in the spend's own document"

    live(run_real, story)


def test_a_rule_acts_at_once_when_it_is_set_below_its_level_and_fills_up_to_its_target(
    run_real: Driver,
) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        rule = {"account": "ada", "below": 100, "to": 250, "category": "promotional", "max_per_day": 3}
        made = await house.made("/credits/top-up-rules", **rule)
        assert made == {"id": made["id"], **rule, "amount": None, "last_skipped": None}
        assert await house.balance("ada") == (250, 0, 250)
        await house.spend("ada", 150)
        assert await house.balance("ada") == (100, 0, 100), "not below yet"
        await house.hold("ada", 1)
        assert await house.balance("ada") == (251, 1, 250), "a hold lowers what is available, too"

    live(run_real, story)


def test_a_rule_that_falls_short_when_it_is_set_says_so_at_once_and_to_a_repeat(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        rule = {"account": "ada", "below": 500, "amount": 100, "category": "paid", "max_per_day": 3}
        made = await house.post("/credits/top-up-rules", rule, key="k")
        assert made.json()["last_skipped"] == {"at": house.later(0), "reason": "day_used"}
        house.pass_time(DAY_MS)
        again = await house.post("/credits/top-up-rules", rule, key="k")
        assert (again.json(), again.header("idempotent-replayed")) == (made.json(), "true")

    live(run_real, story)


def test_an_expiry_and_a_void_call_the_rule(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        given = await house.give("ada", 60)
        await house.give("ada", 40, expires_at=house.later(DAY_MS))
        await house.made("/credits/top-up-rules", **{**RULE, "to": 100, "amount": None})
        voided = await house.post(f"/credits/grants/{given}/void", {})
        assert voided.status == 200
        assert await house.balance("ada") == (100, 0, 100)
        house.pass_time(2 * DAY_MS)
        assert await house.balance("ada") == (60, 0, 60), "a read never tops up"
        await house.spend("ada", 20)
        assert await house.balance("ada") == (100, 0, 100), "40 left when the command looked, of 50"

    live(run_real, story)


def test_what_a_rule_skips_is_shown_counted_and_said_once_a_day_for_each_reason(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        rule = (await house.made("/credits/top-up-rules", **{**RULE, "max_per_day": 1}))["id"]
        await house.spend("ada", 60)
        assert await house.balance("ada") == (100, 0, 100)

        async def last_skipped() -> Any:
            (listed,) = (await house.get("/credits/top-up-rules")).json()["items"]
            assert listed["id"] == rule
            return listed["last_skipped"]

        assert await last_skipped() is None
        for amount in (60, 5, 5):
            await house.spend("ada", amount)
        assert await last_skipped() == {"at": house.later(0), "reason": "day_used"}
        await house.announced()
        counted = (await house.get("/metrics")).body.decode()
        assert "credit_top_ups_skipped_total day_used 1\n" in counted
        house.pass_time(DAY_MS)
        await house.spend("ada", 30)
        assert await house.balance("ada") == (100, 0, 100), "its day is new: it acts before the spend"
        (listed,) = (await house.get("/credits/top-up-rules")).json()["items"]
        assert listed["last_skipped"]["at"] < house.later(0), "what was last skipped stays to be seen"

    live(run_real, story)


def test_a_dry_run_shows_what_rules_would_do_and_they_do_nothing(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        rule = (await house.made("/credits/top-up-rules", **{**RULE, "amount": 20, "max_per_day": 1}))["id"]
        body = {"source": "ada", "amount": 55, "code": "purchase", "dry_run": True}
        short = {"rule": rule, "account": "ada", "amount": 0, "skipped": "day_used"}
        tried = (await house.post("/credits/transfers", body)).json()
        assert tried["top_ups"] == [
            {"rule": rule, "account": "ada", "amount": 20, "skipped": None},
            short,
        ]
        assert await house.balance("ada") == (60, 0, 60)
        await house.spend("ada", 55)
        again = (await house.post("/credits/transfers", {**body, "amount": 1})).json()
        assert again["top_ups"] == [short], "it would fall short once more"

    live(run_real, story)


def test_a_rule_acts_no_more_once_it_is_deleted(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        rule = (await house.made("/credits/top-up-rules", **RULE))["id"]
        gone = await house.delete(f"/credits/top-up-rules/{rule}")
        assert (gone.status, gone.body) == (204, b"")
        assert (await house.delete(f"/credits/top-up-rules/{rule}")).status == 204, "it is gone all the same"
        assert (await house.get("/credits/top-up-rules")).json() == {"items": [], "next_cursor": None}
        await house.spend("ada", 60)
        assert await house.balance("ada") == (0, 0, 0)
        for name in ("nothing", "a b"):
            refused = await house.delete(f"/credits/top-up-rules/{name}")
            assert (refused.status, refused.code) == (404, "not_found")

    live(run_real, story)


def test_rules_are_listed_page_by_page_and_by_account(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        await house.open("bob")
        rules = []
        for number, account in enumerate(("ada", "bob", "ada", "ada")):
            house.pass_time(1)
            body = {**RULE, "account": account, "below": number + 1}
            rules.append(await house.made("/credits/top-up-rules", **body))
        assert (await house.get("/credits/top-up-rules")).json()["items"] == rules
        his = (await house.get("/credits/top-up-rules?account=bob")).json()
        assert his == {"items": [rules[1]], "next_cursor": None}
        page = (await house.get("/credits/top-up-rules?account=ada&limit=2")).json()
        assert page["items"] == [rules[0], rules[2]]
        # A cursor stays good when its rule is deleted meanwhile.
        await house.delete(f"/credits/top-up-rules/{rules[2]['id']}")
        page = (await house.get(f"/credits/top-up-rules?account=ada&cursor={page['next_cursor']}")).json()
        assert page == {"items": [rules[3]], "next_cursor": None}
        assert (await house.get("/credits/top-up-rules?account=a%20b")).status == 400
        for cursor in ("nowhere", "rule_", "1.0", page["items"][0]["account"]):
            refused = await house.get(f"/credits/top-up-rules?cursor={cursor}")
            assert (refused.status, refused.code) == (400, "validation_failed"), cursor

    live(run_real, story)


@pytest.mark.parametrize(
    "wrong",
    [
        {"below": 0},
        {"below": 1.0},
        {"below": "5"},
        {"below": True},
        {"below": 10**16},
        {"amount": -5},
        {"amount": 0},
        {"amount": 1e3},
        {"max_per_day": 0},
        {"max_per_day": 1.5},
        {"max_per_day": 1_001},
        {"category": "free"},
        {"account": "@revenue"},
        {"max_per_week": 1},
        {"account": None},
        {"amount": None},
        {"to": 100},
        {"amount": None, "to": 49},
        {"amount": None, "to": 50.0},
    ],
)
def test_a_rule_that_is_not_well_formed_is_refused(run_real: Driver, wrong: dict[str, Any]) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        refused = await house.post("/credits/top-up-rules", {**RULE, **wrong})
        assert (refused.status, refused.code) == (400, "validation_failed")

    live(run_real, story)


def test_a_rule_is_made_once_under_its_key_and_only_for_an_account(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        first = await house.post("/credits/top-up-rules", RULE, key="r")
        again = await house.post("/credits/top-up-rules", RULE, key="r")
        assert (again.status, again.json()) == (201, first.json())
        assert again.header("idempotent-replayed") == "true"
        assert len((await house.get("/credits/top-up-rules")).json()["items"]) == 1
        refused = await house.post("/credits/top-up-rules", {**RULE, "account": "nobody"})
        assert (refused.status, refused.code) == (404, "account_not_found")
        for number in range(7):
            await house.made("/credits/top-up-rules", **{**RULE, "below": number + 1})
        refused = await house.post("/credits/top-up-rules", RULE)
        assert (refused.status, refused.code) == (409, "too_many_lots")

    live(run_real, story)


def test_rules_are_set_by_writers_and_seen_by_readers_and_by_the_account_s_user(run_real: Driver) -> None:
    async def story(house: House) -> None:
        ada, hers = await house.person("ada")
        await house.open("ada", user_id=ada)
        rule = (await house.made("/credits/top-up-rules", **RULE))["id"]
        reader, writer = await house.key(Scope.CREDITS_READ), await house.key(Scope.CREDITS_WRITE)
        path = "/credits/top-up-rules"
        assert (await house.get(path, reader)).status == 200
        assert (await house.get(path, writer)).status == 403
        assert (await house.get(path, hers)).status == 403, "all rules are not hers"
        assert (await house.get(f"{path}?account=ada", hers)).status == 200
        assert (await house.get(f"{path}?account=nobody", hers)).status == 403
        assert (await house.get(path, {})).status == 401
        for headers in (reader, hers):
            assert (await house.post(path, RULE, headers=headers)).status == 403
            assert (await house.delete(f"{path}/{rule}", headers)).status == 403
        assert (await house.delete(f"{path}/{rule}", writer)).status == 204

    live(run_real, story)
