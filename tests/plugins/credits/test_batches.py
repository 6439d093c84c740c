"""Many transfers in one request, over HTTP: each by itself, or all together."""

from __future__ import annotations

from typing import Any

import pytest

from tests.adapters.web.credits import House, live
from tests.conformance.runtimes import Driver

PLAIN = {"source": "ada", "amount": 10, "code": "purchase"}


async def furnished(house: House) -> None:
    """Ada has 100."""
    await house.open("ada")
    await house.give("ada", 100)


def test_a_batch_has_one_outcome_a_transfer_in_order(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        transfers = [
            {**PLAIN, "id": "one"},
            {**PLAIN, "amount": 1_000, "id": "two"},
            {**PLAIN, "amount": 90},
            {**PLAIN, "id": "one"},
        ]
        answer = await house.post("/credits/transfers/batch", {"transfers": transfers})
        assert answer.status == 200
        results = answer.json()["results"]
        assert [result["status"] for result in results] == ["posted", "rejected", "posted", "duplicate"]
        assert results[1] == {"id": "two", "status": "rejected", "code": "insufficient_funds"}
        assert results[2]["id"].startswith("tr_")
        assert await house.balance("ada") == (0, 0, 0)

    live(run_real, story)


def test_an_atomic_batch_that_cannot_post_moves_nothing_and_names_the_reason(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        transfers = [{**PLAIN, "id": "one"}, {**PLAIN, "amount": 91, "id": "two"}]
        refused = await house.post("/credits/transfers/batch", {"transfers": transfers, "atomic": True})
        assert (refused.status, refused.code) == (409, "insufficient_funds")
        assert [result["code"] for result in refused.json()["results"]] == [
            "batch_rejected",
            "insufficient_funds",
        ]
        assert await house.balance("ada") == (100, 0, 100)
        lost = {"transfers": [{**PLAIN, "source": "nobody"}], "atomic": True}
        assert (await house.post("/credits/transfers/batch", lost)).status == 409
        transfers[1]["amount"] = 90
        posted = await house.post(
            "/credits/transfers/batch", {"transfers": transfers, "atomic": True}, key="batch"
        )
        assert posted.status == 200
        whole = {"transfers": transfers, "atomic": True}
        again = await house.post("/credits/transfers/batch", whole, key="batch")
        assert (again.json(), again.header("idempotent-replayed")) == (posted.json(), "true")
        assert await house.balance("ada") == (0, 0, 0)

    live(run_real, story)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"transfers": []},
        {"transfers": [{**PLAIN, "dry_run": True}]},
        {"transfers": [PLAIN], "dry_run": True},
        {"transfers": [PLAIN], "atomic": 1},
        {"transfers": PLAIN},
    ],
)
def test_a_batch_that_is_not_well_formed_is_refused(run_real: Driver, body: object) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        refused = await house.post("/credits/transfers/batch", body)
        assert (refused.status, refused.code) == (400, "validation_failed")
        assert await house.balance("ada") == (100, 0, 100)

    live(run_real, story)


ONE, TWO, THREE = ({**PLAIN, "id": name} for name in ("one", "two", "three"))


@pytest.mark.parametrize(
    ("transfers", "other"),
    [
        ([PLAIN, PLAIN], {"atomic": True}),
        ([PLAIN, PLAIN], {"transfers": [PLAIN]}),
        ([PLAIN, PLAIN], {"transfers": [PLAIN] * 3}),
        ([ONE, TWO], {"atomic": True}),
        ([ONE, TWO], {"transfers": [ONE]}),
        ([ONE, TWO], {"transfers": [ONE, TWO, THREE]}),
        ([{**ONE, "amount": 1_000}, TWO], {"transfers": [THREE, TWO]}),
    ],
)
def test_a_batchs_key_with_another_body_is_a_conflict(
    run_real: Driver, transfers: list[dict[str, Any]], other: dict[str, Any]
) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        body = {"transfers": transfers, "atomic": False}
        assert (await house.post("/credits/transfers/batch", body, key="k")).status == 200
        left = await house.balance("ada")
        conflict = await house.post("/credits/transfers/batch", {**body, **other}, key="k")
        assert (conflict.status, conflict.code) == (409, "idempotency_conflict")
        assert conflict.json()["field"] == next(iter(other))
        assert await house.balance("ada") == left

    live(run_real, story)


def test_a_rejection_repeats_nothing_that_was_posted_behind_it(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        transfers = [
            {**PLAIN, "id": "one", "amount": 101},
            {**PLAIN, "id": "one"},
            {**PLAIN, "id": "one", "amount": 101},
        ]
        answer = await house.post("/credits/transfers/batch", {"transfers": transfers})
        assert answer.json()["results"] == [
            {"id": "one", "status": "rejected", "code": "insufficient_funds"},
            {"id": "one", "status": "posted"},
            {"id": "one", "status": "rejected", "code": "idempotency_conflict"},
        ]

    live(run_real, story)


def test_an_id_that_was_used_is_that_transfers_outcome_and_not_the_batchs(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        await house.spend("ada", 10, id="one")
        used = {"transfers": [{**PLAIN, "id": "one", "amount": 11}]}
        answer = await house.post("/credits/transfers/batch", used)
        assert (answer.status, answer.json()["results"]) == (
            200, [{"id": "one", "status": "rejected", "code": "idempotency_conflict"}],
        )  # fmt: skip

    live(run_real, story)


def test_an_id_that_was_used_refuses_an_atomic_batch_and_names_its_transfer(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        await house.spend("ada", 10, id="one")
        body = {"transfers": [PLAIN, {**PLAIN, "id": "one", "code": "other"}], "atomic": True}
        refused = await house.post("/credits/transfers/batch", body)
        assert (refused.status, refused.code) == (409, "idempotency_conflict")
        assert refused.json()["field"] == "transfers[1].code"

    live(run_real, story)


def test_a_keyed_batch_of_used_ids_is_answered_alike_whenever_it_is_sent(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        await house.spend("ada", 10, id="one")
        body = {"transfers": [{**PLAIN, "id": "one", "amount": 11}]}
        first = await house.post("/credits/transfers/batch", body, key="k")
        again = await house.post("/credits/transfers/batch", body, key="k")
        assert (first.status, again.status) == (200, 200)
        assert first.json() == again.json()
        assert (first.all("idempotent-replayed"), again.header("idempotent-replayed")) == ([], "true")

    live(run_real, story)


def test_the_answer_to_a_keyed_batch_is_remembered_whole(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        transfers = [
            {**PLAIN, "id": "one"},
            {**PLAIN, "amount": 1_000, "id": "two"},
            {**PLAIN, "amount": 2_000},
            {**PLAIN, "destination": "nobody"},
            {**PLAIN, "id": "one"},
            {**PLAIN, "id": "one", "amount": 11},
        ]
        first = await house.post("/credits/transfers/batch", {"transfers": transfers}, key="k")
        assert (first.status, first.all("idempotent-replayed")) == (200, [])
        assert first.json()["results"] == [
            {"id": "one", "status": "posted"},
            {"id": "two", "status": "rejected", "code": "insufficient_funds"},
            {"id": None, "status": "rejected", "code": "insufficient_funds"},
            {"id": None, "status": "rejected", "code": "account_not_found", "account": "nobody"},
            {"id": "one", "status": "duplicate"},
            {"id": "one", "status": "rejected", "code": "idempotency_conflict"},
        ]
        await house.give("ada", 100_000)
        await house.open("nobody")
        again = await house.post("/credits/transfers/batch", {"transfers": transfers}, key="k")
        assert (again.status, again.header("idempotent-replayed")) == (200, "true")
        assert again.json() == first.json()
        # What was refused moved nothing, and its id is free for another request.
        alone = await house.post("/credits/transfers", {**PLAIN, "amount": 1_000, "id": "two"})
        assert (alone.status, alone.all("idempotent-replayed")) == (201, [])
        third = await house.post("/credits/transfers/batch", {"transfers": transfers}, key="k")
        assert (third.json(), third.header("idempotent-replayed")) == (first.json(), "true")

    live(run_real, story)


def test_a_keyed_batch_of_nothing_but_rejections_is_remembered_and_a_refused_atomic_one_is_not(
    run_real: Driver,
) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        body = {"transfers": [{**PLAIN, "amount": 1_000}, {**PLAIN, "amount": 2_000, "id": "two"}]}
        first = await house.post("/credits/transfers/batch", body, key="plain")
        refused = await house.post("/credits/transfers/batch", {**body, "atomic": True}, key="atomic")
        assert (first.status, refused.status) == (200, 409)
        await house.give("ada", 100_000)
        again = await house.post("/credits/transfers/batch", body, key="plain")
        assert (again.json(), again.header("idempotent-replayed")) == (first.json(), "true")
        other = await house.post("/credits/transfers/batch", {"transfers": [PLAIN]}, key="plain")
        assert (other.status, other.code) == (409, "idempotency_conflict"), "the key is that batch's"
        tried_again = await house.post("/credits/transfers/batch", {**body, "atomic": True}, key="atomic")
        assert [each["status"] for each in tried_again.json()["results"]] == ["posted", "posted"]

    live(run_real, story)


def test_a_batch_without_a_key_remembers_no_rejection(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await furnished(house)
        body = {"transfers": [{**PLAIN, "amount": 1_000, "id": "two"}]}
        await house.post("/credits/transfers/batch", body)
        await house.give("ada", 1_000)
        again = await house.post("/credits/transfers/batch", body)
        assert again.json()["results"] == [{"id": "two", "status": "posted"}]

    live(run_real, story)
