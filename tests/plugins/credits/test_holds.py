"""Holds over HTTP: placed, captured, voided, and expiring by themselves."""

from __future__ import annotations

from typing import Any

import pytest

from tests.adapters.web.credits import SECOND_MS, House, live
from tests.conformance.runtimes import Driver


async def furnished(house: House) -> None:
    await house.open("ada")
    await house.open("shop")
    await house.give("ada", 100)


def test_a_hold_reserves_until_it_is_captured_and_the_rest_is_released(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        body = {"account": "ada", "amount": 60, "code": "job", "destination": "shop", "metadata": {"j": 1}}
        first = await house.post("/credits/holds", body, key="h")
        assert first.status == 201
        placed = first.json()
        assert placed == {
            "id": placed["id"], "account": "ada", "asset": "GEMS", "destination": "shop", "amount": 60,
            "captured": 0, "status": "pending", "expires_at": house.later(600 * SECOND_MS), "code": "job",
            "seq": placed["seq"], "metadata": {"j": 1},
        }  # fmt: skip
        path = f"/credits/holds/{placed['id']}"
        assert (await house.get(path)).json() == placed
        assert await house.balance("ada") == (100, 60, 40)
        reply = await house.post(f"{path}/capture", {"amount": 45}, key="c")
        captured = reply.json()
        assert (reply.status, captured["status"], captured["captured"]) == (200, "captured", 45)
        assert await house.balance("ada") == (55, 0, 55)
        assert await house.balance("shop") == (45, 0, 45)
        current = (await house.get(path)).json()
        assert current == {name: value for name, value in captured.items() if name != "transfer_id"}
        again = await house.post("/credits/holds", body, key="h")
        assert (again.status, again.json()) == (201, placed), "the first answer, whatever came after"
        assert again.header("idempotent-replayed") == "true"

    live(run_real, story)


def test_each_capture_repeats_its_own_first_answer(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        hold = await house.hold("ada", 60)
        path = f"/credits/holds/{hold}/capture"
        first = await house.post(path, {"amount": 20, "final": False}, key="one")
        assert (first.json()["status"], first.json()["captured"]) == ("pending", 20)
        assert await house.balance("ada") == (80, 40, 40)
        second = await house.post(path, {"amount": 10, "final": False}, key="two")
        assert (second.json()["status"], second.json()["captured"]) == ("pending", 30)
        last = await house.post(path, key="three")
        assert (last.json()["status"], last.json()["captured"]) == ("captured", 60)
        for key, body, expected in (
            ("one", {"amount": 20, "final": False}, first),
            ("two", {"amount": 10, "final": False}, second),
            ("three", {}, last),
        ):
            again = await house.post(path, body, key=key)
            assert (again.status, again.json()) == (200, expected.json())
            assert again.header("idempotent-replayed") == "true"
        conflict = await house.post(path, {"amount": 20}, key="one")
        assert (conflict.status, conflict.code, conflict.json()["field"]) == (
            409, "idempotency_conflict", "final",
        )  # fmt: skip
        assert await house.balance("ada") == (40, 0, 40)

    live(run_real, story)


def test_capturing_all_that_is_left_ends_the_hold_whatever_was_said(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        hold = await house.hold("ada", 60)
        answer = await house.post(f"/credits/holds/{hold}/capture", {"amount": 60, "final": False})
        assert answer.json()["status"] == "captured"

    live(run_real, story)


def test_a_voided_hold_releases_what_was_not_captured(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        hold = await house.hold("ada", 60)
        await house.post(f"/credits/holds/{hold}/capture", {"amount": 20, "final": False})
        first = await house.post(f"/credits/holds/{hold}/void", key="v")
        answer = first.json()
        assert (first.status, answer["status"], answer["captured"]) == (200, "voided", 20)
        assert await house.balance("ada") == (80, 0, 80)
        assert (await house.get(f"/credits/holds/{hold}")).json() == answer
        again = await house.post(f"/credits/holds/{hold}/void", {}, key="v")
        assert (again.json(), again.header("idempotent-replayed")) == (answer, "true")

    live(run_real, story)


def test_a_hold_ends_once(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        captured, voided, expired = [await house.hold("ada", 10, expires_in=60) for _ in range(3)]
        await house.post(f"/credits/holds/{captured}/capture", {"amount": 1})
        await house.post(f"/credits/holds/{voided}/void")
        house.pass_time(60 * SECOND_MS)
        for hold, code in (
            (captured, "hold_not_pending"),
            (voided, "hold_not_pending"),
            (expired, "hold_expired"),
        ):
            for step in ("capture", "void"):
                refused = await house.post(f"/credits/holds/{hold}/{step}")
                assert (refused.status, refused.code) == (409, code)
        answer = (await house.get(f"/credits/holds/{expired}")).json()
        assert (answer["status"], answer["captured"]) == ("expired", 0)
        assert await house.balance("ada") == (99, 0, 99)

    live(run_real, story)


def test_an_expired_hold_releases_by_itself_at_its_moment(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        hold = await house.hold("ada", 10, expires_in=60)
        house.pass_time(60 * SECOND_MS - 1)
        assert await house.balance("ada") == (100, 10, 90)
        house.pass_time(1)
        assert await house.balance("ada") == (100, 0, 100)
        assert (await house.get(f"/credits/holds/{hold}")).json()["status"] == "expired"

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
        {"expires_in": 0},
        {"expires_in": -1},
        {"expires_in": 366 * 86_400 + 1},
        {"expires_in": 1.5},
        {"expires_in": "600"},
        {"expires_in": True},
        {"expires_in": None},
        {"account": "@revenue"},
        {"destination": "@issuance"},
        {"destination": "ada"},
        {"code": "No"},
        {"code": None},
        {"until": "tomorrow"},
        {"metadata": 5},
    ],
)
def test_a_hold_that_is_not_well_formed_is_refused(run_real: Driver, wrong: dict[str, Any]) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        refused = await house.post("/credits/holds", {"account": "ada", "amount": 10, "code": "job", **wrong})
        assert (refused.status, refused.code) == (400, "validation_failed")
        assert await house.balance("ada") == (100, 0, 100)

    live(run_real, story)


def test_a_hold_may_live_a_second_or_a_leap_year(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        for seconds in (1, 366 * 86_400):
            answer = await house.made(
                "/credits/holds", account="ada", amount=1, code="job", expires_in=seconds
            )
            assert answer["expires_at"] == house.later(seconds * SECOND_MS)

    live(run_real, story)


@pytest.mark.parametrize(
    "wrong",
    [
        {"amount": 0},
        {"amount": 1.0},
        {"amount": "1"},
        {"amount": True},
        {"amount": -1},
        {"final": 1},
        {"final": None},
        {"rest": "release"},
    ],
)
def test_a_capture_that_is_not_well_formed_is_refused(run_real: Driver, wrong: dict[str, Any]) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        hold = await house.hold("ada", 10)
        refused = await house.post(f"/credits/holds/{hold}/capture", wrong)
        assert (refused.status, refused.code) == (400, "validation_failed")
        refused = await house.post(f"/credits/holds/{hold}/void", {"amount": 1})
        assert (refused.status, refused.code) == (400, "validation_failed")
        assert await house.balance("ada") == (100, 10, 90)

    live(run_real, story)


def test_refusals_of_holds_have_their_status(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        await house.open("gold", asset="GOLD")
        body = {"account": "ada", "amount": 10, "code": "job"}
        for wrong, status, code in (
            ({"amount": 101}, 409, "insufficient_funds"),
            ({"account": "nobody"}, 404, "account_not_found"),
            ({"destination": "nobody"}, 404, "account_not_found"),
            ({"destination": "gold"}, 422, "asset_mismatch"),
        ):
            refused = await house.post("/credits/holds", {**body, **wrong})
            assert (refused.status, refused.code) == (status, code)
        hold = await house.hold("ada", 10)
        refused = await house.post(f"/credits/holds/{hold}/capture", {"amount": 11})
        assert (refused.status, refused.code) == (422, "amount_exceeds_hold")
        for name in ("nothing", "a b"):
            assert (await house.get(f"/credits/holds/{name}")).code == "not_found"
            for step in ("capture", "void"):
                refused = await house.post(f"/credits/holds/{name}/{step}")
                assert (refused.status, refused.code) == (404, "not_found")

    live(run_real, story)


def test_a_hold_is_seen_by_the_owner_of_its_account(run_real: Driver) -> None:
    async def story(house: House) -> None:
        ada, hers = await house.person("ada")
        _, his = await house.person("bob")
        await house.open("ada", user_id=ada)
        await house.give("ada", 10)
        hold = await house.hold("ada", 5)
        assert (await house.get(f"/credits/holds/{hold}", hers)).status == 200
        for headers, path in ((his, hold), (hers, "nothing")):
            refused = await house.get(f"/credits/holds/{path}", headers)
            assert (refused.status, refused.code) == (403, "forbidden")
        for step in ("capture", "void"):
            assert (await house.post(f"/credits/holds/{hold}/{step}", headers=hers)).status == 403
        body = {"account": "ada", "amount": 1, "code": "job"}
        assert (await house.post("/credits/holds", body, headers=hers)).status == 403

    live(run_real, story)
