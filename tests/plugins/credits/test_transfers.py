"""Transfers over HTTP: posting, dry runs, looking at them and moving them back."""

from __future__ import annotations

from typing import Any

import pytest

from domain.identity.api_keys import Scope
from tests.adapters.web.credits import DAY_MS, SECOND_MS, House, live
from tests.conformance.runtimes import Driver

PLAIN = {"source": "ada", "amount": 10, "code": "purchase"}


async def furnished(house: House) -> None:
    """Ada has 100, the shop nothing."""
    await house.open("ada")
    await house.open("shop")
    await house.give("ada", 100)


def test_a_transfer_says_what_moved_and_which_grants_paid(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        grant = await house.give("ada", 100)
        body = {**PLAIN, "id": "order-1", "metadata": {"item": "hat"}}
        first = await house.post("/credits/transfers", body)
        assert first.status == 201
        answer = first.json()
        assert answer == {
            "id": "order-1", "source": "ada", "destination": "@revenue", "amount": 10, "asset": "GEMS",
            "code": "purchase", "seq": answer["seq"], "recorded_at": house.later(0), "effective_at": None,
            "funding": [{"grant": grant, "amount": 10}], "reversed": 0, "metadata": {"item": "hat"},
        }  # fmt: skip
        assert (await house.get("/credits/transfers/order-1")).json() == answer
        again = await house.post("/credits/transfers", body)
        assert (again.status, again.json()) == (201, answer)
        assert again.header("idempotent-replayed") == "true"
        other = await house.post("/credits/transfers", {**body, "amount": 11})
        assert (other.status, other.code, other.json()["field"]) == (409, "idempotency_conflict", "amount")
        assert other.json()["detail"].endswith("`amount` differs.")
        assert await house.balance("ada") == (90, 0, 90)

    live(run_real, story)


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 1.0},
        {"amount": 1e3},
        {"amount": "5"},
        {"amount": True},
        {"amount": -5},
        {"amount": 0},
        {"amount": 10**16},
        {"amount": None},
        {"amount": [5]},
        {"source": "@issuance"},
        {"source": "a b"},
        {"source": "ada", "destination": "ada"},
        {"source": "@revenue"},
        {"destination": "@expired"},
        {"code": "Purchase"},
        {"code": ""},
        {"id": "order 1"},
        {"id": "x" * 65},
        {"metadata": "text"},
        {"metadata": {"a": "x" * 600}},
        {"effective_at": "yesterday"},
        {"effective_at": 1_700_000_000},
        {"effective_at": "2026-01-01T00:00:00"},
        {"effective_at": "0001-01-01T00:00:00+14:00"},
        {"effective_at": "9999-01-01T00:00:00Z"},
        {"dry_run": 1},
        {"dry_run": "true"},
        {"currency": "GEMS"},
    ],
)
def test_a_transfer_that_is_not_well_formed_is_refused(run_real: Driver, wrong: dict[str, Any]) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        refused = await house.post("/credits/transfers", {**PLAIN, **wrong})
        assert (refused.status, refused.code) == (400, "validation_failed")
        assert await house.balance("ada") == (100, 0, 100)
        if "dry_run" not in wrong:
            batch = await house.post("/credits/transfers/batch", {"transfers": [{**PLAIN, **wrong}]})
            assert (batch.status, batch.code) == (400, "validation_failed")

    live(run_real, story)


def test_refusals_have_their_status_and_change_nothing(run_real: Driver) -> None:
    async def story(house: House) -> None:
        bob, _ = await house.person("bob")
        await furnished(house)
        await house.open("gold", asset="GOLD")
        await house.open("bob", user_id=bob)
        await house.open("promo")
        await house.give("promo", 50, category="promotional")
        for wrong, status, code in (
            ({"amount": 101}, 409, "insufficient_funds"),
            ({"source": "nobody"}, 404, "account_not_found"),
            ({"destination": "nobody"}, 404, "account_not_found"),
            ({"destination": "gold"}, 422, "asset_mismatch"),
            ({"source": "promo", "destination": "bob"}, 422, "grant_not_transferable"),
        ):
            for dry_run in (False, True):
                refused = await house.post("/credits/transfers", {**PLAIN, **wrong, "dry_run": dry_run})
                assert (refused.status, refused.code) == (status, code)
        assert await house.balance("ada") == (100, 0, 100)
        assert await house.balance("promo") == (50, 0, 50)

    live(run_real, story)


def test_a_rejected_transfer_may_be_tried_again_under_its_key(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        assert (await house.post("/credits/transfers", PLAIN, key="k")).status == 409
        await house.give("ada", 10)
        posted = await house.post("/credits/transfers", PLAIN, key="k")
        assert (posted.status, posted.all("idempotent-replayed")) == (201, [])
        again = await house.post("/credits/transfers", PLAIN, key="k")
        assert (again.json(), again.header("idempotent-replayed")) == (posted.json(), "true")

    live(run_real, story)


def test_a_dry_run_tells_what_would_come_and_records_nothing(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        head = (await house.get("/credits/ledger/head")).json()
        tried = await house.post("/credits/transfers", {**PLAIN, "dry_run": True, "destination": "shop"})
        assert tried.status == 200
        answer = tried.json()
        assert answer["dry_run"] is True
        assert (answer["id"], answer["seq"], answer["recorded_at"]) == (None, None, None)
        assert (answer["asset"], answer["amount"], answer["destination"]) == ("GEMS", 10, "shop")
        assert [part["amount"] for part in answer["funding"]] == [10]
        assert (await house.get("/credits/ledger/head")).json() == head
        assert await house.balance("ada") == (100, 0, 100)
        named = await house.post("/credits/transfers", {**PLAIN, "id": "order-1", "dry_run": True}, key="k")
        assert named.json()["id"] == "order-1"
        assert (await house.get("/credits/transfers/order-1")).status == 404
        # It took neither the id nor the key.
        real = await house.post("/credits/transfers", {**PLAIN, "id": "order-1"}, key="k")
        assert (real.status, real.all("idempotent-replayed")) == (201, [])
        again = await house.post("/credits/transfers", {**PLAIN, "id": "order-1", "dry_run": True})
        assert (again.status, again.header("idempotent-replayed")) == (200, "true")
        assert again.json() == {**real.json(), "dry_run": True, "top_ups": []}

    live(run_real, story)


def test_a_transfer_is_dated_back_and_never_ahead(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        moment = house.later(-SECOND_MS)
        answer = await house.spend("ada", 1, effective_at=moment)
        assert (answer["effective_at"], answer["recorded_at"]) == (moment, house.later(0))
        assert (await house.spend("ada", 1, effective_at=house.later(0)))["effective_at"] == house.later(0)
        ahead = {**PLAIN, "effective_at": house.later(1)}
        for path, body in (
            ("/credits/transfers", ahead),
            ("/credits/transfers", {**ahead, "dry_run": True}),
            ("/credits/transfers/batch", {"transfers": [PLAIN, ahead]}),
        ):
            refused = await house.post(path, body)
            assert (refused.status, refused.code) == (400, "validation_failed")
            assert refused.json()["field"] == "effective_at"
        assert await house.balance("ada") == (98, 0, 98)

    live(run_real, story)


def test_a_reversal_gives_back_to_the_grants_that_live_and_says_what_became_of_the_others(
    run_real: Driver,
) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        ending = await house.give("ada", 10, priority=0, expires_at=house.later(DAY_MS))
        spent = await house.give("ada", 20, priority=1)
        living = await house.give("ada", 30, priority=2)
        await house.spend("ada", 40, id="order-1")
        house.pass_time(2 * DAY_MS)
        reply = await house.post("/credits/transfers/order-1/reverse", {"metadata": {"why": "refund"}})
        assert reply.status == 201
        answer = reply.json()
        assert (answer["reverses"], answer["amount"], answer["source"]) == ("order-1", 40, "@revenue")
        assert answer["metadata"] == {"why": "refund"}
        given = {part["grant"]: part["amount"] for part in answer["restored"]}
        assert given == {living: 10, spent: 20}
        assert answer["lapsed"] == [{"grant": ending, "amount": 10}]
        account = (await house.get("/credits/accounts/ada")).json()
        assert account["posted"] == 60
        assert {each["id"]: each["remaining"] for each in account["grants"]} == {spent: 20, living: 30}
        explained = (await house.get("/credits/accounts/ada/explain")).json()
        assert explained["plain"]["available"] == 10, "what lapsed came back without expiry"
        assert (await house.get(f"/credits/transfers/{answer['id']}")).json() == answer
        assert (await house.get("/credits/transfers/order-1")).json()["reversed"] == 40

    live(run_real, story)


def test_a_reversal_never_moves_back_more_than_is_left(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        first = await house.spend("ada", 50, id="order-1")
        path = "/credits/transfers/order-1/reverse"
        part = await house.post(path, {"amount": 20}, key="r")
        assert (part.status, part.json()["amount"]) == (201, 20)
        again = await house.post(path, {"amount": 20}, key="r")
        assert (again.json(), again.header("idempotent-replayed")) == (part.json(), "true")
        conflict = await house.post(path, {"amount": 21}, key="r")
        assert (conflict.status, conflict.code) == (409, "idempotency_conflict")
        refused = await house.post(path, {"amount": 31})
        assert (refused.status, refused.code) == (422, "amount_exceeds_transfer")
        assert (await house.get("/credits/transfers/order-1")).json() == {**first, "reversed": 20}
        rest = await house.post(path)
        assert (rest.status, rest.json()["amount"]) == (201, 30)
        refused = await house.post(path)
        assert (refused.status, refused.code) == (409, "transfer_already_reversed")
        assert await house.balance("ada") == (100, 0, 100)

    live(run_real, story)


def test_what_is_no_transfer_is_not_reversed(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        grant = await house.give("ada", 5)
        await house.spend("ada", 50, id="order-1")
        back = (await house.post("/credits/transfers/order-1/reverse")).json()["id"]
        for transfer in (grant, back):
            refused = await house.post(f"/credits/transfers/{transfer}/reverse")
            assert (refused.status, refused.code) == (422, "transfer_not_reversible")
        for transfer in ("nothing", "a b"):
            refused = await house.post(f"/credits/transfers/{transfer}/reverse")
            assert (refused.status, refused.code) == (404, "not_found")

    live(run_real, story)


@pytest.mark.parametrize(
    "body", [{"amount": 0}, {"amount": 1.5}, {"amount": "1"}, {"amount": True}, {"part": 1}, [], None]
)
def test_a_reversal_that_is_not_well_formed_is_refused(run_real: Driver, body: object) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        await house.spend("ada", 50, id="order-1")
        sent = b"null" if body is None else None
        headers = {**house.admin, "Content-Type": "application/json"} if sent else house.admin
        refused = await house.client.request(
            "POST", "/credits/transfers/order-1/reverse", json=body, body=sent, headers=headers
        )
        assert (refused.status, refused.code) == (400, "validation_failed")
        assert await house.balance("ada") == (50, 0, 50)

    live(run_real, story)


def test_captures_expiries_and_grants_are_transfers_to_look_at(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        grant = await house.give("ada", 100, expires_at=house.later(DAY_MS))
        hold = await house.hold("ada", 30)
        captured = (await house.post(f"/credits/holds/{hold}/capture")).json()["transfer_id"]
        answer = (await house.get(f"/credits/transfers/{captured}")).json()
        assert (answer["hold"], answer["amount"], answer["code"]) == (hold, 30, "job")
        issued = (await house.get(f"/credits/transfers/{grant}")).json()
        assert (issued["source"], issued["grant"]) == ("@issuance", grant)
        house.pass_time(2 * DAY_MS)
        await house.give("ada", 1)
        expired = (await house.get(f"/credits/transfers/expire:{grant}")).json()
        assert (expired["grant"], expired["amount"], expired["destination"]) == (grant, 70, "@expired")
        assert expired["effective_at"] == house.later(-DAY_MS)
        back = await house.post(f"/credits/transfers/{captured}/reverse", {"amount": 5})
        assert (back.status, back.json()["lapsed"]) == (201, [{"grant": grant, "amount": 5}])

    live(run_real, story)


def test_a_transfer_is_seen_by_the_owners_of_its_sides(run_real: Driver) -> None:
    async def story(house: House) -> None:
        ada, hers = await house.person("ada")
        bob, his = await house.person("bob")
        _, others = await house.person("eve")
        await house.open("ada", user_id=ada)
        await house.open("bob", user_id=bob)
        await house.give("ada", 10)
        await house.made(
            "/credits/transfers", id="gift", source="ada", destination="bob", amount=1, code="gift"
        )
        assert (await house.get("/credits/transfers/gift", hers)).status == 200
        assert (await house.get("/credits/transfers/gift", his)).status == 200
        for headers, path in ((others, "gift"), (hers, "nothing")):
            refused = await house.get(f"/credits/transfers/{path}", headers)
            assert (refused.status, refused.code) == (403, "forbidden")
        assert (await house.get("/credits/transfers/nothing")).status == 404
        body = {"source": "ada", "amount": 1, "code": "x"}
        for path, sent in (
            ("", body),
            ("/batch", {"transfers": [body]}),
            ("/gift/reverse", None),
        ):
            refused = await house.post(f"/credits/transfers{path}", sent, headers=hers)
            assert (refused.status, refused.code) == (403, "forbidden"), "owners look, and do not write"

    live(run_real, story)


def test_a_reader_may_not_even_try_a_transfer(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        reader = await house.key(Scope.CREDITS_READ)
        refused = await house.post("/credits/transfers", {**PLAIN, "dry_run": True}, headers=reader)
        assert (refused.status, refused.code) == (403, "forbidden")

    live(run_real, story)


def test_a_reversal_counts_from_now_or_from_a_moment_since_the_transfer(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        before, path = house.later(0), "/credits/transfers/order-1/reverse"
        house.pass_time(DAY_MS)
        await house.spend("ada", 40, id="order-1")
        spent_at = house.later(0)
        house.pass_time(DAY_MS)
        for wrong in (house.later(1), before):
            refused = await house.post(path, {"effective_at": wrong})
            assert (refused.status, refused.code) == (400, "validation_failed"), wrong
            assert refused.json()["field"] == "effective_at"
        back = await house.post(path, {"amount": 30, "effective_at": spent_at}, key="back")
        assert (back.status, back.json()["effective_at"]) == (201, spent_at)
        again = await house.post(path, {"amount": 30, "effective_at": spent_at}, key="back")
        assert (again.json(), again.header("idempotent-replayed")) == (back.json(), "true")
        other = await house.post(path, {"amount": 30}, key="back")
        assert (other.status, other.code, other.json()["field"]) == (
            409, "idempotency_conflict", "effective_at",
        )  # fmt: skip
        now = await house.post(path)
        assert (now.status, now.json()["effective_at"]) == (201, None)

        async def posted(basis: str) -> int:
            found = await house.get(f"/credits/accounts/ada?at={spent_at.replace('+', '%2B')}&basis={basis}")
            return int(found.json()["posted"])

        assert (await posted("recorded"), await posted("effective")) == (60, 90)

    live(run_real, story)


def test_a_refusal_says_which_account_does_not_exist(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        asked = {
            "/credits/transfers": {"source": "ada", "destination": "ghost", "amount": 1, "code": "x"},
            "/credits/transfers/batch": {
                "transfers": [{"source": "ghost", "amount": 1, "code": "x"}], "atomic": True,
            },
            "/credits/holds": {"account": "ghost", "amount": 1, "code": "x"},
            "/credits/grants": {"account": "ghost", "amount": 1, "category": "paid"},
            "/credits/top-up-rules": {
                "account": "ghost", "below": 1, "amount": 1, "category": "paid", "max_per_day": 1,
            },
        }  # fmt: skip
        refusals = [await house.post(path, body) for path, body in asked.items()]
        refusals += [
            await house.get("/credits/accounts/ghost"),
            await house.get("/credits/accounts/ghost/entries"),
        ]
        for refused in refusals:
            assert (refused.code, refused.json()["account"]) == ("account_not_found", "ghost")
            assert "`ghost`" in refused.json()["detail"]

    live(run_real, story)
