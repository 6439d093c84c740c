"""Accounts over HTTP: opening, balances now and in the past, entries, and what a balance is made of."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from domain.identity.api_keys import Scope
from domain.ledger.outcomes import Rejection
from plugins.credits.refusals import REFUSALS
from tests.adapters.web.credits import DAY_MS, SECOND_MS, House, live
from tests.conformance.runtimes import Driver


def test_every_refusal_of_the_ledger_has_a_status() -> None:
    assert set(REFUSALS) == set(Rejection)
    conflicts = {
        "hold_not_pending", "hold_expired", "grant_not_active", "transfer_already_reversed", "too_many_lots",
        "insufficient_funds", "account_exists", "idempotency_conflict", "batch_rejected",
    }  # fmt: skip
    for rejection, (status, detail) in REFUSALS.items():
        expected = 404 if rejection.value.endswith("not_found") else 409
        if rejection is Rejection.DATED_BEFORE_ORIGINAL:
            expected = 400
        is_said = expected != 409 or rejection.value in conflicts
        assert status == (expected if is_said else 422), rejection
        assert detail.endswith(".")


def test_an_account_opens_empty_and_answers_its_repeat_as_it_stands_now(run_real: Driver) -> None:
    async def story(house: House) -> None:
        body = {"asset": "GEMS", "id": "ada", "metadata": {"b": 1, "a": [2]}, "low_balance": 5}
        first = await house.post("/credits/accounts", body)
        assert first.status == 201
        opened = first.json()
        assert opened == {
            "id": "ada", "asset": "GEMS", "user_id": None, "posted": 0, "held": 0, "available": 0,
            "overdraft_limit": 0, "grants": [], "seq": opened["seq"], "metadata": {"a": [2], "b": 1},
            "low_balance": 5,
        }  # fmt: skip
        assert first.all("idempotent-replayed") == []
        await house.give("ada", 10)
        again = await house.post("/credits/accounts", body)
        now = (await house.get("/credits/accounts/ada")).json()
        assert (again.status, again.json()) == (201, now)
        assert (now["posted"], len(now["grants"]), now["metadata"]) == (10, 1, opened["metadata"])
        assert again.header("idempotent-replayed") == "true"
        other = await house.post("/credits/accounts", {"asset": "GOLD", "id": "ada"})
        assert (other.status, other.code, other.json()["field"]) == (409, "account_exists", "asset")

    live(run_real, story)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"asset": ""},
        {"asset": "TOO_LONG_FOR_AN_ASSET"},
        {"asset": "GEMS", "id": "@revenue"},
        {"asset": "GEMS", "id": "a b"},
        {"asset": "GEMS", "id": ""},
        {"asset": "GEMS", "id": 5},
        {"asset": "GEMS", "overdraft_limit": -1},
        {"asset": "GEMS", "overdraft_limit": 1.0},
        {"asset": "GEMS", "overdraft_limit": True},
        {"asset": "GEMS", "overdraft_limit": 10**16},
        {"asset": "GEMS", "low_balance": 0},
        {"asset": "GEMS", "low_balance": "5"},
        {"asset": "GEMS", "metadata": []},
        {"asset": "GEMS", "metadata": {"a": "x" * 600}},
        {"asset": "GEMS", "colour": "red"},
    ],
)
def test_an_account_that_is_not_well_formed_is_refused(run_real: Driver, body: object) -> None:
    async def story(house: House) -> None:
        refused = await house.post("/credits/accounts", body)
        assert (refused.status, refused.code) == (400, "validation_failed")

    live(run_real, story)


def test_an_account_shows_its_live_grants_in_burn_down_order(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        late = await house.give("ada", 10, expires_at=house.later(2 * DAY_MS))
        soon = await house.give("ada", 20, expires_at=house.later(DAY_MS), category="promotional")
        first = await house.give("ada", 30, priority=0, code="pack", metadata={"order": 7})
        await house.hold("ada", 35)
        answer = (await house.get("/credits/accounts/ada")).json()
        assert answer["grants"] == [
            {
                "id": first, "remaining": 30, "held": 30, "priority": 0, "category": "paid",
                "expires_at": None, "code": "pack", "metadata": {"order": 7},
            },
            {
                "id": soon, "remaining": 20, "held": 5, "priority": 50, "category": "promotional",
                "expires_at": house.later(DAY_MS), "code": "grant", "metadata": {},
            },
            {
                "id": late, "remaining": 10, "held": 0, "priority": 50, "category": "paid",
                "expires_at": house.later(2 * DAY_MS), "code": "grant", "metadata": {},
            },
        ]  # fmt: skip
        assert (answer["posted"], answer["held"], answer["available"]) == (60, 35, 25)
        # What expired is shown no more, although the hold keeps its part of it.
        house.pass_time(DAY_MS)
        await house.hold("ada", 5, expires_in=3 * 86_400)
        assert [each["id"] for each in (await house.get("/credits/accounts/ada")).json()["grants"]] == [
            first,
            late,
        ]

    live(run_real, story)


def test_a_balance_is_told_as_it_was_at_a_moment(run_real: Driver) -> None:
    async def story(house: House) -> None:
        before = house.later(-1)
        await house.open("ada")
        grant = await house.give("ada", 100, expires_at=house.later(DAY_MS))
        house.pass_time(SECOND_MS)
        await house.spend("ada", 30)
        then = house.later(0)
        house.pass_time(SECOND_MS)
        await house.hold("ada", 20)
        held = house.later(0)
        house.pass_time(2 * DAY_MS)

        async def at(moment: str, more: str = "") -> Any:
            return await house.get(f"/credits/accounts/ada?at={quote(moment)}{more}")

        answer = (await at(then)).json()
        assert (answer["posted"], answer["held"], answer["available"]) == (70, 0, 70)
        assert [each["id"] for each in answer["grants"]] == [grant]
        assert answer["grants"][0]["remaining"] == 70
        assert (answer["at"], answer["basis"]) == (then, "effective")
        answer = (await at(held)).json()
        assert (answer["posted"], answer["held"], answer["available"]) == (70, 20, 50)
        answer = (await at(house.later(0))).json()
        assert (answer["posted"], answer["held"], answer["grants"]) == (0, 0, [])
        refused = await at(before)
        assert (refused.status, refused.code) == (404, "account_not_found")
        refused = await at(house.later(1))
        assert (refused.status, refused.json()["field"]) == (400, "at")

    live(run_real, story)


def test_what_is_dated_back_counts_by_effect_and_not_as_recorded(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        await house.give("ada", 100)
        then = house.later(SECOND_MS)
        house.pass_time(DAY_MS)
        spent = await house.spend("ada", 40, effective_at=house.later(SECOND_MS - DAY_MS))
        assert spent["effective_at"] == then
        path = f"/credits/accounts/ada?at={then}"
        answer = (await house.get(path)).json()
        assert answer["posted"] == 60
        assert (answer["held"], answer["available"], answer["grants"]) == (None, None, None)
        for_then = (await house.get(path + "&basis=recorded")).json()
        assert (for_then["posted"], for_then["available"], for_then["basis"]) == (100, 100, "recorded")
        assert len(for_then["grants"]) == 1
        entries = (await house.get("/credits/accounts/ada/entries")).json()["items"]
        assert [entry["effective_at"] for entry in entries] == [then, None]

    live(run_real, story)


@pytest.mark.parametrize(
    "query",
    [
        "at=yesterday",
        "at=2026-01-01",
        "at=2026-01-01T00:00:00",
        "at=1800000000",
        "at=",
        "at=0001-01-01T00:00:00%2B14:00",
        "at=9999-12-31T23:59:59-12:00",
        "basis=guess",
        "consistency=hope",
        "when=now",
        "at=2026-01-01T00:00:00Z&at=2026-01-01T00:00:00Z",
    ],
)
def test_a_moment_that_is_not_one_is_refused(run_real: Driver, query: str) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        refused = await house.get(f"/credits/accounts/ada?{query}")
        assert (refused.status, refused.code) == (400, "validation_failed")

    live(run_real, story)


def test_entries_are_listed_newest_first_page_by_page(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        grant = await house.give("ada", 100, expires_at=house.later(DAY_MS))
        for number in range(3):
            await house.spend("ada", 10, id=f"order-{number}", metadata={"n": number})
        house.pass_time(2 * DAY_MS)
        await house.give("ada", 1)
        seen: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = (await house.get(f"/credits/accounts/ada/entries?limit=2{cursor}")).json()
            seen += page["items"]
            if page["next_cursor"] is None:
                break
            cursor = f"&cursor={page['next_cursor']}"
        assert [(entry["amount"], entry["balance"]) for entry in seen] == [
            (1, 1), (-70, 0), (-10, 70), (-10, 80), (-10, 90), (100, 100),
        ]  # fmt: skip
        assert set(seen[0]) == {
            "transfer_id", "amount", "balance", "code", "counterparty", "seq", "recorded_at", "effective_at",
            "metadata",
        }  # fmt: skip
        expiry = seen[1]
        assert (expiry["transfer_id"], expiry["counterparty"], expiry["code"]) == (
            f"expire:{grant}", "@expired", "expired",
        )  # fmt: skip
        assert expiry["effective_at"] < expiry["recorded_at"], "it expired when it was due"
        assert seen[2]["metadata"] == {"n": 2}
        for cursor in ("nowhere", f"{2**63}.0", f"1.{2**63}"):
            refused = await house.get(f"/credits/accounts/ada/entries?cursor={cursor}")
            assert (refused.status, refused.code) == (400, "validation_failed"), cursor

    live(run_real, story)


def test_explain_adds_up_to_the_balance(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada", overdraft_limit=50)
        promo = await house.give("ada", 20, category="promotional", priority=0)
        paid = await house.give(
            "ada", 100, code="pack", expires_at=house.later(DAY_MS), metadata={"order": 7}
        )
        scheduled = await house.give("ada", 7, effective_at=house.later(5 * DAY_MS))
        await house.spend("ada", 35)
        hold = await house.hold("ada", 95, expires_in=3 * 86_400, metadata={"job": 1})
        answer = (await house.get("/credits/accounts/ada/explain?limit=2")).json()
        _adds_up(answer)
        assert (answer["posted"], answer["held"], answer["available"]) == (85, 95, -10)
        (grant,) = answer["grants"]
        assert (grant["id"], grant["amount"], grant["used"], grant["remaining"], grant["held"]) == (
            paid, 100, 15, 85, 85,
        )  # fmt: skip
        assert (grant["code"], grant["metadata"], grant["status"]) == ("pack", {"order": 7}, "active")
        assert answer["plain"] == {"posted": 0, "held": 10, "available": -10}
        assert answer["holds"] == [
            {
                "id": hold, "remaining": 95, "funding": [{"grant": paid, "amount": 85}], "plain": 10,
                "expires_at": house.later(3 * DAY_MS), "code": "job", "metadata": {"job": 1},
            }
        ]  # fmt: skip
        assert [(each["id"], each["amount"]) for each in answer["scheduled"]] == [(scheduled, 7)]
        assert [each["amount"] for each in answer["transfers"]] == [-35, 100]
        assert promo not in str(answer), "nothing is left of it"
        house.pass_time(2 * DAY_MS)
        answer = (await house.get("/credits/accounts/ada/explain")).json()
        _adds_up(answer)
        assert [(each["status"], each["remaining"], each["held"]) for each in answer["grants"]] == [
            ("expired", 85, 85)
        ]

    live(run_real, story)


def _adds_up(answer: dict[str, Any]) -> None:
    grants, plain = answer["grants"], answer["plain"]
    dated_back = answer["dated_back"]["posted"]
    assert dated_back == sum(each["amount"] for each in answer["dated_back"]["transfers"])
    assert answer["posted"] == sum(each["remaining"] for each in grants) + plain["posted"] + dated_back
    assert answer["held"] == sum(each["held"] for each in grants) + plain["held"]
    assert answer["held"] == sum(each["remaining"] for each in answer["holds"])
    assert answer["available"] == sum(each["available"] for each in grants) + plain["available"]
    assert answer["available"] == answer["posted"] - answer["held"] - dated_back
    assert all(each["amount"] == each["used"] + each["remaining"] for each in grants)
    for hold in answer["holds"]:
        assert hold["remaining"] == sum(part["amount"] for part in hold["funding"]) + hold["plain"]


def test_explain_knows_more_grants_than_it_looks_up_at_once(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        grants = [await house.give("ada", 1 + number) for number in range(70)]
        answer = (await house.get("/credits/accounts/ada/explain")).json()
        _adds_up(answer)
        assert [each["id"] for each in answer["grants"]] == grants
        assert len(answer["transfers"]) == 20

    live(run_real, story)


def test_a_system_account_is_told_apart_by_its_asset(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        await house.give("ada", 10)
        await house.spend("ada", 4)
        for path in ("", "/entries", "/explain"):
            unnamed = await house.get(f"/credits/accounts/@revenue{path}")
            assert (unnamed.status, unnamed.json()["field"]) == (400, "asset")
            assert (await house.get(f"/credits/accounts/@revenue{path}?asset=GEMS")).status == 200
        answer = (await house.get("/credits/accounts/@issuance?asset=GEMS")).json()
        assert (answer["posted"], answer["overdraft_limit"]) == (-10, None)
        assert (await house.get("/credits/accounts/@revenue?asset=GOLD")).status == 404
        assert (await house.get("/credits/accounts/ada?asset=GOLD")).status == 404

    live(run_real, story)


@pytest.mark.parametrize("account", ["nobody", "\x00", "a b", "x" * 100, "@nobody", "@@", "é", "%ff"])
def test_an_account_that_nobody_opened_is_not_found(run_real: Driver, account: str) -> None:
    async def story(house: House) -> None:
        for path in ("", "/entries", "/explain"):
            reply = await house.get(f"/credits/accounts/{account}{path}?asset=GEMS")
            assert reply.status == 404, reply

    live(run_real, story)


def test_owners_see_their_own_accounts_and_no_other(run_real: Driver) -> None:
    async def story(house: House) -> None:
        ada, hers = await house.person("ada")
        _, his = await house.person("bob")
        await house.open("ada-gems", user_id=ada)
        await house.open("ada-gold", user_id=ada, asset="GOLD")
        await house.open("till")
        await house.give("ada-gems", 5)
        for path in ("", "/entries", "/explain", f"?at={house.later(0)}"):
            assert (await house.get(f"/credits/accounts/ada-gems{path}", hers)).status == 200
            for account in ("ada-gems", "till", "nobody"):
                if account == "ada-gems":
                    refused = await house.get(f"/credits/accounts/{account}{path}", his)
                else:
                    refused = await house.get(f"/credits/accounts/{account}{path}", hers)
                assert (refused.status, refused.code) == (403, "forbidden"), account
            assert (await house.get(f"/credits/accounts/ada-gems{path}", {})).status == 401
        mine = (await house.get("/users/me/accounts", hers)).json()
        assert [(each["id"], each["posted"]) for each in mine["items"]] == [("ada-gems", 5), ("ada-gold", 0)]
        assert len(mine["items"][0]["grants"]) == 1
        page = (await house.get("/users/me/accounts?limit=1", hers)).json()
        assert page["next_cursor"] == "ada-gems"
        page = (await house.get("/users/me/accounts?limit=1&cursor=ada-gems", hers)).json()
        assert ([each["id"] for each in page["items"]], page["next_cursor"]) == (["ada-gold"], None)
        assert (await house.get("/users/me/accounts?cursor=else", hers)).status == 400
        assert (await house.get("/users/me/accounts", his)).json() == {"items": [], "next_cursor": None}
        assert (await house.get("/users/me/accounts")).status == 403, "a key is nobody"

    live(run_real, story)


def test_reading_needs_its_scope_and_writing_the_other(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        reader, writer = await house.key(Scope.CREDITS_READ), await house.key(Scope.CREDITS_WRITE)
        for path in ("", "/entries", "/explain"):
            assert (await house.get(f"/credits/accounts/ada{path}", reader)).status == 200
            assert (await house.get(f"/credits/accounts/ada{path}", writer)).status == 403
        body = {"asset": "GEMS"}
        assert (await house.post("/credits/accounts", body, headers=reader)).status == 403
        assert (await house.post("/credits/accounts", body, headers=writer)).status == 201
        assert (await house.post("/credits/accounts", body, headers={})).status == 401

    live(run_real, story)


def test_a_key_acts_in_its_own_book_alone(run_real: Driver) -> None:
    async def story(house: House) -> None:
        other = await house.key(Scope.ADMIN, book="other")
        await house.open("ada")
        assert (await house.get("/credits/accounts/ada", other)).status == 404
        opened = await house.post("/credits/accounts", {"asset": "GOLD", "id": "ada"}, headers=other)
        assert (opened.status, opened.json()["asset"]) == (201, "GOLD")
        head = (await house.get("/credits/ledger/head", other)).json()
        assert (head["book"], head["seq"]) == ("other", 1)

    live(run_real, story)


def test_explain_tells_of_a_moment_in_the_past(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        pack = await house.give("ada", 100, metadata={"order": 7})
        await house.spend("ada", 10)
        hold = await house.hold("ada", 20, expires_in=3 * 86_400)
        moment = house.later(0)
        house.pass_time(DAY_MS)
        await house.spend("ada", 30)
        await house.spend("ada", 5, effective_at=moment, id="late")
        path = f"/credits/accounts/ada/explain?at={moment}"
        answer = (await house.get(f"{path}&basis=recorded")).json()
        _adds_up(answer)
        assert (answer["posted"], answer["held"], answer["available"], answer["as_of"]) == (
            90,
            20,
            70,
            moment,
        )
        assert [(each["id"], each["remaining"], each["metadata"]) for each in answer["grants"]] == [
            (pack, 90, {"order": 7})
        ]
        assert [each["id"] for each in answer["holds"]] == [hold]
        assert [each["amount"] for each in answer["transfers"]] == [-10, 100], "what came later is not there"
        by_effect = (await house.get(path)).json()
        _adds_up(by_effect)
        assert (by_effect["posted"], by_effect["available"]) == (85, 70)
        assert [each["transfer_id"] for each in by_effect["dated_back"]["transfers"]] == ["late"]
        assert (await house.get(f"/credits/accounts/ada?at={moment}")).json()["posted"] == 85
        for at, status in ((house.later(1), 400), ("1999-01-01T00:00:00Z", 404), ("yesterday", 400)):
            assert (await house.get(f"/credits/accounts/ada/explain?at={at}")).status == status, at

    live(run_real, story)
