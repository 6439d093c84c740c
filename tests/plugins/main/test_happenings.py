"""The lines of `game_play.log`: what happened to users and to credits."""

from __future__ import annotations

import logging
from typing import Any, NamedTuple, cast

import pytest

from application.ledger.announcer import LEDGER_COMMITTED
from application.ledger.committed import CommittedBatch
from domain.ledger.chain import JournalDocument
from domain.ledger.entries import Entry, TransferPosted
from plugins.main.happenings import TRANSFERS_TOLD_MAX, note_committed
from plugins.plugin import HOOK_PRIORITY_DEFAULT
from ports.runtime import Runtime
from tests.adapters.web.service import PASSWORD, open_service
from tests.conformance.entries import every_kind_of_entry
from tests.conformance.runtimes import Driver

LOGGER = "plugins.main.happenings"


class LearnedLater(NamedTuple):
    """An entry of a kind that these lines know nothing about."""

    nothing_in_common: int = 1


def batch(*entries: Entry) -> CommittedBatch:
    return CommittedBatch(JournalDocument("main", 7, 0, "n", "p", "d", entries), {})


def said(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    return [record.__dict__ for record in caplog.records if record.name == LOGGER]


def test_a_batch_is_one_line_with_a_count_of_each_kind_known_or_not(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger=LOGGER)
    entries = every_kind_of_entry()
    note_committed(batch(*entries, cast("Entry", LearnedLater())))
    (line,) = said(caplog)
    assert (line["msg"], line["book"], line["seq"]) == ("ledger committed", "main", 7)
    assert {type(entry).__name__ for entry in entries} | {"LearnedLater"} == {
        told.rpartition(" ")[0] for told in line["entries"].split("; ")
    }
    assert "LearnedLater 1" in line["entries"]
    assert "t-0 test 5 GEMS alice > bob" in line["transfers"]


def test_a_batch_tells_a_bounded_number_of_transfers_and_counts_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger=LOGGER)
    moved = next(entry for entry in every_kind_of_entry() if isinstance(entry, TransferPosted))
    note_committed(batch(*[moved] * 8000))
    (line,) = said(caplog)
    assert line["entries"] == "TransferPosted 8000"
    assert len(line["transfers"].split("; ")) == TRANSFERS_TOLD_MAX


def test_what_is_no_batch_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger=LOGGER)
    for payload in (None, object(), {"document": 1}):
        note_committed(payload)
    assert said(caplog) == []


def test_where_nobody_asked_for_details_a_batch_is_not_even_looked_at(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    unreadable = CommittedBatch(cast("JournalDocument", None), {})
    note_committed(unreadable)
    assert said(caplog) == []


def test_a_user_is_told_of_by_id_from_registration_to_logout(
    run_real: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime)
        assert service.hooks == [(HOOK_PRIORITY_DEFAULT, LEDGER_COMMITTED, note_committed)]
        headers = await service.login("ada")
        for path, sent in (
            ("/auth/login", {"username": "ada", "password": "not the password"}),
            ("/auth/refresh", {"refresh_token": "none"}),
        ):
            assert (await service.client.request("POST", path, json=sent)).status == 401
        assert (await service.client.request("POST", "/auth/logout", headers=headers)).status == 204

    caplog.set_level(logging.DEBUG, logger=LOGGER)
    run_real(body)
    lines = said(caplog)
    assert [line["msg"] for line in lines] == [
        "user registered",
        "logged in",
        "login refused",
        "logged out",
    ]
    assert lines[0]["user"] == lines[1]["user"]
    assert lines[1]["session"] == lines[3]["session"]
    printed = "\n".join(str(line) for line in lines)
    assert not [word for word in (PASSWORD, "not the password", "ada@", "'ada'") if word in printed]
