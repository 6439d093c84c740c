"""Grants over HTTP: given now, later or dated back, ending, and taken back."""

from __future__ import annotations

from typing import Any

import pytest

from tests.adapters.web.credits import DAY_MS, SECOND_MS, House, live
from tests.conformance.runtimes import Driver


def test_a_grant_says_its_terms_and_what_is_left_of_it(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        body = {
            "account": "ada", "amount": 100, "category": "promotional", "priority": 3, "code": "welcome",
            "expires_at": house.later(DAY_MS), "metadata": {"campaign": 7},
        }  # fmt: skip
        first = await house.post("/credits/grants", body, key="g")
        assert first.status == 201
        answer = first.json()
        assert answer == {
            "id": answer["id"], "account": "ada", "asset": "GEMS", "amount": 100, "remaining": 100, "held": 0,
            "status": "active", "category": "promotional", "priority": 3, "code": "welcome",
            "effective_at": None, "expires_at": house.later(DAY_MS), "seq": answer["seq"],
            "recorded_at": house.later(0), "metadata": {"campaign": 7},
        }  # fmt: skip
        path = f"/credits/grants/{answer['id']}"
        assert (await house.get(path)).json() == answer
        recorded = answer["recorded_at"]
        house.pass_time(SECOND_MS)
        await house.spend("ada", 30)
        await house.hold("ada", 20, expires_in=10 * 86_400)
        assert (await house.get(path)).json() == {**answer, "remaining": 70, "held": 20}
        again = await house.post("/credits/grants", body, key="g")
        assert (again.status, again.json()) == (201, answer)
        assert (again.json()["recorded_at"], again.header("idempotent-replayed")) == (recorded, "true")
        house.pass_time(2 * DAY_MS)
        left = {**answer, "status": "expired", "remaining": 20, "held": 20}
        assert (await house.get(path)).json() == left, "the hold keeps its part"
        # A repeat long after the grant ended is still a repeat.
        again = await house.post("/credits/grants", body, key="g")
        assert (again.status, again.json()) == (201, answer)
        other = await house.post("/credits/grants", {**body, "amount": 99}, key="g")
        assert (other.status, other.code, other.json()["field"]) == (409, "idempotency_conflict", "amount")

    live(run_real, story)


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 1.0},
        {"amount": "5"},
        {"amount": True},
        {"amount": -5},
        {"amount": 0},
        {"amount": 10**16},
        {"category": "free"},
        {"category": None},
        {"priority": -1},
        {"priority": 256},
        {"priority": 1.0},
        {"priority": True},
        {"account": "@revenue"},
        {"account": ""},
        {"code": "No"},
        {"source": "@issuance"},
        {"expires_at": "soon"},
        {"expires_at": 2_000_000_000},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "9999-12-31T23:59:59-12:00"},
        {"effective_at": "2030-01-01T00:00:00Z", "expires_at": "2030-01-01T00:00:00Z"},
        {"effective_at": "2030-01-01T00:00:00Z", "expires_at": "2029-01-01T00:00:00Z"},
        {"effective_at": "2019-01-01T00:00:00Z", "expires_at": "2020-01-01T00:00:00Z"},
        {"effective_at": "0001-01-01T00:00:00+10:00"},
    ],
)
def test_a_grant_that_is_not_well_formed_is_refused(run_real: Driver, wrong: dict[str, Any]) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        body = {"account": "ada", "amount": 10, "category": "paid", **wrong}
        refused = await house.post("/credits/grants", body)
        assert (refused.status, refused.code) == (400, "validation_failed")
        assert await house.balance("ada") == (0, 0, 0)

    live(run_real, story)


def test_a_grant_that_expires_this_very_moment_is_refused(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        body = {"account": "ada", "amount": 10, "category": "paid", "expires_at": house.later(0)}
        refused = await house.post("/credits/grants", body)
        assert (refused.status, refused.json()["field"]) == (400, "expires_at")
        assert (await house.post("/credits/grants", {**body, "expires_at": house.later(1)})).status == 201

    live(run_real, story)


def test_a_grant_joins_the_balance_when_it_takes_effect(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        starts, ends = house.later(DAY_MS), house.later(3 * DAY_MS)
        body = {
            "account": "ada", "amount": 50, "category": "paid", "effective_at": starts, "expires_at": ends,
        }  # fmt: skip
        first = await house.post("/credits/grants", body, key="g")
        answer = first.json()
        assert (first.status, answer["status"], answer["remaining"]) == (201, "pending", 50)
        path = f"/credits/grants/{answer['id']}"
        assert (await house.get(path)).json() == answer
        assert await house.balance("ada") == (0, 0, 0)
        house.pass_time(DAY_MS)
        assert await house.balance("ada") == (50, 0, 50)
        assert (await house.get(path)).json() == {**answer, "status": "active"}
        await house.spend("ada", 50)
        assert (await house.get(path)).json() == {**answer, "status": "spent", "remaining": 0}
        assert (await house.post("/credits/grants", body, key="g")).json() == answer, "the first answer"
        house.pass_time(5 * DAY_MS)
        assert (await house.get(path)).json()["status"] == "expired"

    live(run_real, story)


def test_a_grant_is_dated_back(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        house.pass_time(DAY_MS)
        moment = house.later(-SECOND_MS)
        grant = await house.give("ada", 10, effective_at=moment)
        answer = (await house.get(f"/credits/grants/{grant}")).json()
        assert (answer["status"], answer["effective_at"]) == ("active", moment)
        assert await house.balance("ada") == (10, 0, 10)
        past = (await house.get(f"/credits/accounts/ada?at={moment}")).json()
        assert (past["posted"], past["available"]) == (10, None)
        past = (await house.get(f"/credits/accounts/ada?at={moment}&basis=recorded")).json()
        assert (past["posted"], past["available"]) == (0, 0)

    live(run_real, story)


def test_voiding_takes_back_what_no_hold_has_reserved(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        grant = await house.give("ada", 100)
        await house.spend("ada", 10)
        hold = await house.hold("ada", 30)
        path = f"/credits/grants/{grant}"
        voided = await house.post(f"{path}/void", key="v")
        answer = voided.json()
        assert (voided.status, answer["status"]) == (200, "voided")
        assert (answer["amount"], answer["remaining"], answer["held"]) == (100, 30, 30)
        assert await house.balance("ada") == (30, 30, 0)
        await house.post(f"/credits/holds/{hold}/void")
        assert await house.balance("ada") == (0, 0, 0)
        assert (await house.get(path)).json() == {**answer, "remaining": 0, "held": 0}
        again = await house.post(f"{path}/void", key="v")
        assert (again.status, again.json()) == (200, answer)
        assert again.header("idempotent-replayed") == "true"
        refused = await house.post(f"{path}/void")
        assert (refused.status, refused.code) == (409, "grant_not_active")

    live(run_real, story)


def test_a_grant_is_voided_before_it_begins_and_while_all_of_it_is_held(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        pending = await house.give("ada", 100, effective_at=house.later(DAY_MS))
        answer = (await house.post(f"/credits/grants/{pending}/void", {})).json()
        assert (answer["status"], answer["remaining"]) == ("voided", 0)
        house.pass_time(2 * DAY_MS)
        assert await house.balance("ada") == (0, 0, 0)
        grant = await house.give("ada", 100)
        await house.hold("ada", 100)
        answer = (await house.post(f"/credits/grants/{grant}/void")).json()
        assert (answer["status"], answer["remaining"], answer["held"]) == ("voided", 100, 100)
        assert (await house.get(f"/credits/grants/{grant}")).json() == answer

    live(run_real, story)


def test_a_grant_that_is_over_or_unknown_is_not_voided(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        spent = await house.give("ada", 10)
        await house.spend("ada", 10)
        over = await house.give("ada", 10, expires_at=house.later(SECOND_MS))
        house.pass_time(DAY_MS)
        for grant, status, code in (
            (spent, 409, "grant_not_active"),
            (over, 409, "grant_not_active"),
            ("nothing", 404, "not_found"),
            ("a b", 404, "not_found"),
        ):
            refused = await house.post(f"/credits/grants/{grant}/void")
            assert (refused.status, refused.code) == (status, code)
        assert (await house.get("/credits/grants/nothing")).status == 404
        refused = await house.post(f"/credits/grants/{spent}/void", {"amount": 5})
        assert (refused.status, refused.code) == (400, "validation_failed")
        refused = await house.post("/credits/grants", {"account": "no", "amount": 1, "category": "paid"})
        assert (refused.status, refused.code) == (404, "account_not_found")

    live(run_real, story)


def test_a_grant_is_seen_by_the_owner_of_its_account(run_real: Driver) -> None:
    async def story(house: House) -> None:
        ada, hers = await house.person("ada")
        _, his = await house.person("bob")
        await house.open("ada", user_id=ada)
        grant = await house.give("ada", 10)
        assert (await house.get(f"/credits/grants/{grant}", hers)).status == 200
        for headers, path in ((his, grant), (hers, "nothing")):
            refused = await house.get(f"/credits/grants/{path}", headers)
            assert (refused.status, refused.code) == (403, "forbidden")
        assert (await house.post(f"/credits/grants/{grant}/void", headers=hers)).status == 403
        body = {"account": "ada", "amount": 1, "category": "paid"}
        assert (await house.post("/credits/grants", body, headers=hers)).status == 403

    live(run_real, story)
