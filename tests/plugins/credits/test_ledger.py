"""The journal over HTTP, what is announced and measured of it, and the document of all its routes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from domain.identity.api_keys import Scope
from domain.ledger.entries import TransferPosted
from tests.adapters.socket.doubles import Mailbox, identity
from tests.adapters.web.credits import DAY_MS, SECOND_MS, House, live
from tests.conformance.runtimes import Driver

Seen = list[tuple[str, int, int, int]]


def test_the_head_is_the_newest_document(run_real: Driver) -> None:
    async def story(house: House) -> None:
        empty = (await house.get("/credits/ledger/head")).json()
        assert (empty["book"], empty["seq"], empty["recorded_at"]) == ("main", 0, None)
        opened = await house.open("ada")
        head = (await house.get("/credits/ledger/head")).json()
        assert (head["seq"], head["recorded_at"]) == (opened["seq"], house.later(0))
        assert head["digest"] != empty["digest"]

    live(run_real, story)


def test_a_good_book_is_proved_to_its_head(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        await house.give("ada", 10)
        await house.spend("ada", 4)
        head = (await house.get("/credits/ledger/head")).json()
        bodies: tuple[object, ...] = (None, {})
        for body in bodies:
            proved = await house.post("/credits/ledger/verify", body)
            assert proved.status == 200
            assert proved.json() == {
                "ok": True, "head": head, "documents": 3, "entries": 3, "problem": None,
            }  # fmt: skip
        refused = await house.post("/credits/ledger/verify", {"fast": True})
        assert (refused.status, refused.code) == (400, "validation_failed")

    live(run_real, story)


def test_a_book_that_was_edited_is_not_good_and_the_document_is_named(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        await house.give("ada", 10)
        await house.spend("ada", 4)
        documents = house.journal._documents["main"]
        (entry,) = documents[1].entries
        assert isinstance(entry, TransferPosted)
        documents[1] = replace(documents[1], entries=(entry._replace(amount=1_000),))
        answer = (await house.post("/credits/ledger/verify")).json()
        assert (answer["ok"], answer["documents"], answer["head"]["seq"]) == (False, 1, 1)
        assert answer["problem"]["seq"] == 2
        assert answer["problem"]["detail"]

    live(run_real, story)


def test_the_journal_is_for_administrators(run_real: Driver) -> None:
    async def story(house: House) -> None:
        _, hers = await house.person("ada")
        both = await house.key(Scope.CREDITS_READ, Scope.CREDITS_WRITE)
        for headers, status in ((both, 403), (hers, 403), ({}, 401)):
            assert (await house.get("/credits/ledger/head", headers)).status == status
            assert (await house.post("/credits/ledger/verify", headers=headers)).status == status

    live(run_real, story)


async def watched(house: House, user_id: str) -> Mailbox:
    mailbox = Mailbox()
    assert await house.manager.use_cases.realtime.attach(mailbox, identity(user_id, "ses"))
    return mailbox


async def told(house: House, mailbox: Mailbox) -> Seen:
    """Account, posted, held and available of each balance push since the last look."""
    await house.announced()
    pushes = [json.loads(text) for text in mailbox.texts]
    mailbox.texts.clear()
    assert [push["seq"] for push in pushes] == sorted(push["seq"] for push in pushes)
    return [
        (push["account"], push["posted"], push["held"], push["available"])
        for push in pushes
        if push["type"] == "balance"
    ]


def test_an_owner_is_told_of_everything_that_moves_a_balance(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada", user_id="usr_ada")
        await house.open("bob", user_id="usr_bob")
        hers = await watched(house, "usr_ada")
        his = await watched(house, "usr_bob")
        await house.give("ada", 100, expires_at=house.later(DAY_MS))
        assert await told(house, hers) == [("ada", 100, 0, 100)]
        hold = await house.hold("ada", 30)
        assert await told(house, hers) == [("ada", 100, 30, 70)]
        await house.post(f"/credits/holds/{hold}/capture", {"amount": 10, "final": False})
        assert await told(house, hers) == [("ada", 90, 20, 70)]
        await house.post(f"/credits/holds/{hold}/void")
        assert await told(house, hers) == [("ada", 90, 0, 90)]
        await house.made("/credits/transfers", source="ada", destination="bob", amount=5, code="gift")
        assert await told(house, hers) == [("ada", 85, 0, 85)]
        assert await told(house, his) == [("bob", 5, 0, 5)]
        await house.give("ada", 7, effective_at=house.later(2 * DAY_MS))
        await house.hold("ada", 5, expires_in=60)
        assert await told(house, hers) == [("ada", 85, 5, 80)], "what is to come is no balance yet"
        house.pass_time(3 * DAY_MS)
        await house.give("ada", 1)
        # The hold and the grant expired, another began, and the last one came, all in one document.
        assert await told(house, hers) == [("ada", 8, 0, 8)]
        assert await told(house, his) == []

    live(run_real, story)


def test_a_batch_tells_each_account_the_state_it_was_left_in(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada", user_id="usr_ada")
        await house.open("ada-2", user_id="usr_ada")
        await house.give("ada", 100)
        await house.announced()
        hers = await watched(house, "usr_ada")
        spend = {"source": "ada", "amount": 1, "code": "x"}
        transfers = [spend] * 50 + [{**spend, "destination": "ada-2", "amount": 20}]
        answer = await house.post("/credits/transfers/batch", {"transfers": transfers})
        assert answer.status == 200
        assert await told(house, hers) == [("ada", 30, 0, 30), ("ada-2", 20, 0, 20)]

    live(run_real, story)


def test_an_owner_is_told_once_when_a_balance_gets_low(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada", user_id="usr_ada", low_balance=50)
        await house.give("ada", 60)
        await house.announced()
        hers = await watched(house, "usr_ada")

        async def warnings() -> list[dict[str, Any]]:
            await house.announced()
            pushes = [json.loads(text) for text in hers.texts]
            hers.texts.clear()
            assert pushes[0]["type"] == "balance", "the balance first"
            return [push for push in pushes if push["type"] == "low_balance"]

        await house.spend("ada", 10)
        assert await warnings() == [], "as much as the threshold is not less"
        hold = await house.hold("ada", 1)
        seq = (await house.get("/credits/ledger/head")).json()["seq"]
        assert await warnings() == [
            {"type": "low_balance", "account": "ada", "available": 49, "threshold": 50, "seq": seq}
        ]
        await house.spend("ada", 1)
        assert await warnings() == [], "it was low before"
        await house.post(f"/credits/holds/{hold}/void")
        await house.give("ada", 1)
        await house.spend("ada", 2)
        assert len(await warnings()) == 1, "it had recovered"

    live(run_real, story)


def test_commands_are_counted_by_operation_and_outcome(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        grant = await house.give("ada", 100)
        await house.spend("ada", 10, id="order-1")
        await house.post("/credits/transfers", {"source": "ada", "amount": 1_000, "code": "x"})
        await house.post("/credits/transfers", {"source": "ada", "amount": 1, "code": "x", "dry_run": True})
        await house.post("/credits/transfers/order-1/reverse")
        await house.post("/credits/transfers/order-1/reverse")
        one, two = await house.hold("ada", 5), await house.hold("ada", 5)
        await house.post(f"/credits/holds/{one}/capture")
        await house.post(f"/credits/holds/{two}/void")
        rule = {"account": "ada", "below": 1, "amount": 1, "category": "paid", "max_per_day": 1}
        made = await house.made("/credits/top-up-rules", **rule)
        await house.delete(f"/credits/top-up-rules/{made['id']}")
        await house.post(f"/credits/grants/{grant}/void")
        for operation, status, count in (
            ("open_account", "posted", 1),
            ("grant", "posted", 1),
            ("transfer", "posted", 1),
            ("transfer", "insufficient_funds", 1),
            ("dry_run", "posted", 1),
            ("reverse", "posted", 1),
            ("reverse", "transfer_already_reversed", 1),
            ("hold", "posted", 2),
            ("capture", "posted", 1),
            ("void_hold", "posted", 1),
            ("set_rule", "posted", 1),
            ("remove_rule", "posted", 1),
            ("void_grant", "posted", 1),
        ):
            assert house.metrics.value("credit_transactions_total", operation, status) == count, operation
            assert house.metrics.observations("credit_transaction_duration_seconds", operation)

    live(run_real, story)


def test_what_falls_due_by_itself_is_counted_as_well(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada")
        rule = {"account": "ada", "below": 1, "amount": 1, "category": "paid", "max_per_day": 1}
        await house.made("/credits/top-up-rules", **rule)
        await house.give("ada", 5, expires_at=house.later(SECOND_MS))
        await house.give("ada", 7, effective_at=house.later(SECOND_MS))
        await house.hold("ada", 1, expires_in=1)
        house.pass_time(DAY_MS)
        await house.spend("ada", 7)
        await house.announced()
        for operation in ("begin_grant", "end_grant", "expire_hold", "top_up"):
            assert house.metrics.value("credit_transactions_total", operation, "posted") == 1, operation

    live(run_real, story)


def test_what_falls_due_is_recorded_although_nobody_looks(run_real: Driver) -> None:
    async def story(house: House) -> None:
        await house.open("ada", user_id="usr_ada")
        await house.give("ada", 5, expires_at=house.later(SECOND_MS))
        await house.announced()
        hers = await watched(house, "usr_ada")
        head = (await house.get("/credits/ledger/head")).json()
        house.pass_time(DAY_MS)
        await house.announced(head["seq"] + 1)
        assert await told(house, hers) == [("ada", 0, 0, 0)]

    live(run_real, story, ticking=True)


def test_totals_tell_where_the_credits_are(run_real: Driver) -> None:
    async def story(house: House) -> None:
        def totals() -> dict[str, float]:
            kinds = ("posted", "held", "issued", "spent", "expired")
            return {kind: house.metrics.value("credit_balance", "GEMS", kind) for kind in kinds}

        await house.open("ada")
        await house.open("bob")
        voided = await house.give("ada", 50)
        await house.give("ada", 100, priority=0, expires_at=house.later(DAY_MS))
        hold = await house.hold("ada", 30)
        await house.hold("ada", 10, expires_in=60)
        await house.announced()
        assert totals() == {"posted": 150, "held": 40, "issued": 150, "spent": 0, "expired": 0}
        await house.post(f"/credits/holds/{hold}/capture", {"amount": 20})
        await house.post(f"/credits/grants/{voided}/void")
        await house.announced()
        assert totals() == {"posted": 80, "held": 10, "issued": 100, "spent": 20, "expired": 0}
        house.pass_time(2 * DAY_MS)
        # Nobody looks at Ada's account: Bob's document is enough to see that her hold is over.
        await house.give("bob", 1)
        await house.announced()
        assert totals()["held"] == 0
        await house.give("ada", 1)
        await house.announced()
        assert totals() == {"posted": 2, "held": 0, "issued": 102, "spent": 20, "expired": 80}

    live(run_real, story)


ROUTES = {
    ("post", "/credits/accounts"),
    ("get", "/credits/accounts/{account_id}"),
    ("get", "/credits/accounts/{account_id}/entries"),
    ("get", "/credits/accounts/{account_id}/explain"),
    ("get", "/users/me/accounts"),
    ("post", "/credits/grants"),
    ("get", "/credits/grants/{grant_id}"),
    ("post", "/credits/grants/{grant_id}/void"),
    ("post", "/credits/transfers"),
    ("post", "/credits/transfers/batch"),
    ("get", "/credits/transfers/{transfer_id}"),
    ("post", "/credits/transfers/{transfer_id}/reverse"),
    ("post", "/credits/holds"),
    ("get", "/credits/holds/{hold_id}"),
    ("post", "/credits/holds/{hold_id}/capture"),
    ("post", "/credits/holds/{hold_id}/void"),
    ("post", "/credits/top-up-rules"),
    ("get", "/credits/top-up-rules"),
    ("delete", "/credits/top-up-rules/{rule_id}"),
    ("get", "/credits/ledger/head"),
    ("post", "/credits/ledger/verify"),
}


def test_the_openapi_document_lists_every_route_and_says_what_lapsed_means(run_real: Driver) -> None:
    async def story(house: House) -> None:
        document = (await house.get("/openapi.json", {})).json()
        listed = {
            (method, path)
            for path, operations in document["paths"].items()
            for method in operations
            if path.startswith("/credits") or path == "/users/me/accounts"
        }
        assert listed == ROUTES
        schemas = document["components"]["schemas"]
        lapsed = schemas["TransferAnswer"]["properties"]["lapsed"]
        assert "credits without expiry" in lapsed["description"]
        reverse = document["paths"]["/credits/transfers/{transfer_id}/reverse"]["post"]
        assert "credits without expiry" in reverse["description"]
        assert reverse["requestBody"]["required"] is False
        transfer = document["paths"]["/credits/transfers"]["post"]
        assert set(transfer["responses"]) >= {"200", "201", "default"}
        assert transfer["requestBody"]["required"] is True
        assert set(schemas["TransferBody"]["properties"]) >= {"effective_at", "dry_run"}
        assert "dry_run" not in schemas["TransferOfBatch"]["properties"]
        grant = schemas["GrantAnswer"]["properties"]["status"]["x-extensible-enum"]
        assert set(grant) == {"pending", "active", "expired", "voided", "spent"}
        account = document["paths"]["/credits/accounts/{account_id}"]["get"]
        shared = document["components"]["parameters"]
        parameters = [
            shared[each["$ref"].rpartition("/")[2]] if "$ref" in each else each
            for each in account["parameters"]
        ]
        named = {each["name"] for each in parameters if each["in"] != "header"}
        assert named == {"account_id", "asset", "consistency", "at", "basis"}

    live(run_real, story)
