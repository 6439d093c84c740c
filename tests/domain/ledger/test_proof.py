"""A document may be well made and still break a rule: the proof says which, believing no stated balance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from domain.ledger.account import EXPIRED, ISSUANCE, REVENUE, Account
from domain.ledger.chain import Head, JournalDocument, seal
from domain.ledger.entries import (
    AccountOpened,
    Capture,
    Cause,
    Entry,
    GrantEnded,
    GrantScheduled,
    HoldPlaced,
    HoldReleased,
    Issue,
    Lapse,
    Recorded,
    Reversal,
    RuleRemoved,
    RuleSet,
    TransferPosted,
)
from domain.ledger.lots import Funding, GrantTerms, Lot
from domain.ledger.proof import Proof
from domain.ledger.shapes import entry_has_its_shape, has_its_shape
from tests.conformance.entries import every_kind_of_entry

TERMS = GrantTerms("paid", 50)


def opened(id: str, asset: str = "GEMS", limit: int = 0) -> AccountOpened:
    return AccountOpened(Account(id, asset, f"u-{id}", limit), (f"a:{id}",), "f", "tests")


def moved(
    id: str,
    source: str,
    destination: str,
    amount: int,
    source_posted: int,
    destination_posted: int,
    *,
    asset: str = "GEMS",
    funding: Funding = (),
    cause: Cause | None = None,
    keys: tuple[str, ...] | None = None,
) -> TransferPosted:
    return TransferPosted(
        id, source, destination, amount, asset, "test", source_posted, destination_posted,
        (f"t:{id}",) if keys is None else keys, "f", "tests", "", funding, None, cause,
    )  # fmt: skip


def captured(amount: int, total: int, funding: Funding = (), *, final: bool = True) -> TransferPosted:
    """Of alice's hold, from her ten."""
    cause = Capture("h", total, final)
    return moved("c", "alice", REVENUE, amount, 10 - amount, amount, funding=funding, cause=cause)


def held(id: str, account: str, amount: int, funding: Funding = ()) -> HoldPlaced:
    return HoldPlaced(
        id, account, "GEMS", amount, REVENUE, 10**6, "hold", (f"h:{id}",), "f", "tests", "", funding
    )


def released(id: str, account: str, amount: int) -> HoldReleased:
    return HoldReleased(id, account, "GEMS", amount, "voided", (f"v:{id}",), "f", "tests")


def scheduled(id: str, account: str, amount: int) -> GrantScheduled:
    return GrantScheduled(id, account, "GEMS", amount, TERMS, "grant", (f"t:{id}",), "f", "tests")


def ended(id: str, account: str, held: int) -> GrantEnded:
    return GrantEnded(id, account, "GEMS", "voided", held, (f"e:{id}",), "f", "tests")


def rule(id: str, account: str) -> RuleSet:
    return RuleSet(id, account, "GEMS", 10, 5, "paid", 1, (f"r:{id}",), "f", "tests")


def unruled(id: str, account: str) -> RuleRemoved:
    return RuleRemoved(id, account, "GEMS", (f"x:{id}",), "f", "tests")


ISSUED = moved("g", ISSUANCE, "alice", 10, -10, 10, cause=Issue("g", TERMS))
SPENT = moved("t", "alice", REVENUE, 6, 4, 6, funding=(("g", 6),))
HOLD = held("h", "alice", 7, (("g", 7),))
BEGUN: tuple[Entry, ...] = (opened("alice"), opened("bob"), opened("carol", "DUST"), ISSUED)
PLAIN: tuple[Entry, ...] = (*BEGUN, moved("p", "alice", "bob", 10, 0, 10, funding=(("g", 10),)))


def documents(batches: Sequence[Sequence[Entry]]) -> list[JournalDocument]:
    head, made = Head(), []
    for number, entries in enumerate(batches):
        made.append(seal("main", head, entries, time_ms=1_000 + number, nonce=f"n{number}"))
        head = made[-1].head
    return made


def checked(*batches: Sequence[Entry]) -> str | None:
    """What is wrong with the last batch; the ones before it are good."""
    proof, transfers = Proof(), dict[str, Recorded]()
    problem = None
    for document in documents(batches):
        assert problem is None
        for entry in document.entries:
            transfers.update({key: Recorded(entry, document.seq, document.time_ms) for key in entry.keys})
        problem = proof.check(document, transfers)
    return problem


@pytest.mark.parametrize(
    "entries",
    [
        [SPENT],
        [HOLD, captured(7, 7, (("g", 7),))],
        [HOLD, released("h", "alice", 7), moved("t", "alice", REVENUE, 10, 0, 10, funding=(("g", 10),))],
        [moved("e", "alice", EXPIRED, 10, 0, 10, funding=(("g", 10),), cause=Lapse("g", "expired", 0))],
        [SPENT, moved("r", REVENUE, "alice", 6, 0, 10, cause=Reversal("t", (("g", 6),), (), ()))],
        [scheduled("s", "alice", 5), ended("s", "alice", 0)],
        [rule("r", "alice"), unruled("r", "alice"), rule("r2", "alice")],
    ],
)
def test_what_keeps_the_rules_is_good(entries: list[Entry]) -> None:
    assert checked(BEGUN, entries) is None


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ([], "no entries"),
        ([moved("t", "mallory", "alice", 1, 0, 11)], "account mallory of GEMS was not opened"),
        ([moved("t", "alice", "mallory", 1, 9, 1)], "account mallory of GEMS was not opened"),
        ([moved("t", "alice", "carol", 1, 9, 1)], "account carol of GEMS was not opened"),
        ([held("h", "mallory", 1)], "account mallory of GEMS was not opened"),
        ([opened("alice")], "opened once more"),
        ([AccountOpened(Account(REVENUE, "GEMS"), ("a:x",), "f", "tests")], "system account"),
        ([moved("t", "alice", "bob", 0, 10, 0)], "its amount is 0"),
        ([moved("t", "alice", "bob", -3, 13, -3)], "its amount is -3"),
        ([moved("t", "alice", "alice", 3, 7, 13)], "to itself"),
        ([moved("t", "alice", "bob", 3, 8, 3)], "alice had 10, so it has 7, not 8"),
        ([moved("t", "alice", "bob", 3, 7, 4)], "bob had 0, so it has 3, not 4"),
        ([moved("t", "alice", "bob", 3, 7, 3, keys=("t:other",))], "not its own"),
        ([moved("t", "alice", "bob", 3, 7, 3, keys=())], "not its own"),
        ([moved("t", "alice", "bob", 3, 7, 3), moved("t", "alice", "bob", 3, 4, 6)], "not its own"),
        ([moved("t", "alice", "bob", 11, -1, 11)], "below its limit"),
        ([moved("t", REVENUE, "bob", 1, -1, 1)], "below its limit"),
        ([moved("t", "alice", "bob", 3, 7, 3, funding=(("other", 3),))], "cannot pay"),
        ([moved("t", "alice", "bob", 3, 7, 3, funding=(("g", 4),))], "cannot pay"),
        ([moved("t", "alice", "bob", 3, 7, 3, funding=(("g", 2), ("g", 1)))], "cannot pay"),
        ([moved("t", "alice", "bob", 3, 7, 3, funding=(("g", 11), ("g", -8)))], "cannot pay"),
        ([held("h", "alice", 11, (("g", 10),))], "below its limit"),
        ([held("h", "alice", 0)], "its amount is 0"),
        ([HOLD, held("i", "alice", 3, (("g", 4),))], "cannot pay"),
        ([HOLD, held("h", "alice", 1)._replace(keys=("h:i",))], "placed once more"),
        ([released("h", "alice", 7)], "not pending"),
        ([HOLD, released("h", "alice", 6)], "has 7 left, not 6"),
        ([HOLD, released("h", "alice", 7), released("h", "alice", 7)._replace(keys=("v:i",))], "not pending"),
        ([HOLD, captured(8, 8)], "has 7 left"),
        ([HOLD, captured(7, 7, (("g", 7),), final=False)], "has not ended"),
        ([HOLD, captured(2, 3, (("g", 2),))], "for 2 in all, not 3"),
        ([HOLD, captured(2, 2)], "other grants pay"),
        ([captured(2, 2)], "not pending"),
        ([moved("j", "bob", "alice", 1, -1, 11, cause=Issue("j", TERMS))], "comes from bob"),
        ([moved("i", ISSUANCE, "alice", 1, -11, 11, cause=Issue("g", TERMS))], "issued once more"),
        ([moved("j", ISSUANCE, "alice", 1, -11, 11, cause=Issue("j", TERMS, "no-rule"))], "does not stand"),
        ([scheduled("s", "alice", 5),
          moved("s2", ISSUANCE, "alice", 6, -16, 16, cause=Issue("s", TERMS))], "other terms"),
        ([scheduled("s", "alice", 0)], "its amount is 0"),
        ([scheduled("g", "alice", 5)], "there already"),
        ([ended("g", "alice", 0)], "another part"),
        ([ended("other", "alice", 0)], "is not in alice"),
        ([moved("e", "alice", EXPIRED, 9, 1, 9, funding=(("g", 9),), cause=Lapse("g", "expired", 0))],
         "has 10 left"),
        ([moved("e", "alice", REVENUE, 10, 0, 10, funding=(("g", 10),), cause=Lapse("g", "expired", 0))],
         "does not end like this"),
        ([moved("e", "alice", EXPIRED, 1, 9, 1, cause=Lapse("other", "expired", 0))], "nothing is left"),
        ([unruled("r", "alice")], "does not stand"),
        ([rule("r", "alice"), rule("r", "alice")._replace(keys=("r:i",))], "set once more"),
    ],
)  # fmt: skip
def test_what_breaks_a_rule_is_said(entries: list[Entry], problem: str) -> None:
    assert problem in (checked(BEGUN, entries) or "nothing is wrong")


def given_back(
    amount: int, cause: Reversal, id: str = "r", before: int = 4, revenue: int = 6
) -> TransferPosted:
    return moved(id, REVENUE, "alice", amount, revenue - amount, before + amount, cause=cause)


@pytest.mark.parametrize(
    ("entries", "problem"),
    [
        ([given_back(1, Reversal("unknown", (("g", 1),), (), ()))], "no transfer unknown came before"),
        ([given_back(1, Reversal("g", (("g", 1),), (), ()))], "not one that is reversed"),
        ([given_back(7, Reversal("t", (("g", 7),), (), ()))._replace(source_posted=-1)], "6 is left"),
        ([given_back(4, Reversal("t", (("g", 4),), (), ())),
          given_back(3, Reversal("t", (("g", 3),), (), ()), "r2", 8, 2)], "2 is left"),
        ([given_back(2, Reversal("t", (("other", 2),), (), ()))], "did not pay"),
        ([given_back(2, Reversal("t", (), (), ()))], "was paid by grants"),
        ([given_back(2, Reversal("t", (("g", 1),), (), (("g", 1),)))], "did not pay"),
        ([given_back(2, Reversal("t", (), (Lot("g", 2, 0, 50, "paid", None, 1, 3),), ()))], "lives"),
        ([moved("r", REVENUE, "bob", 2, 4, 2, cause=Reversal("t", (("g", 2),), (), ()))], "other accounts"),
    ],
)  # fmt: skip
def test_a_reversal_that_breaks_a_rule_is_said(entries: list[Entry], problem: str) -> None:
    assert problem in (checked(BEGUN, [SPENT], entries) or "nothing is wrong")


def test_a_reversal_before_its_transfer_is_said_also_within_a_document() -> None:
    reversal = moved("r", REVENUE, "alice", 6, -6, 16, cause=Reversal("t", (("g", 6),), (), ()))
    assert "no transfer t came before" in (checked(BEGUN, [reversal, SPENT]) or "")


def test_plain_credits_that_were_spent_come_back_plain() -> None:
    spent = moved("t", "bob", REVENUE, 6, 4, 6)
    back = moved("r", REVENUE, "bob", 6, 0, 10, cause=Reversal("t", (), (), ()))
    assert checked(PLAIN, [spent, back]) is None


def test_the_fold_follows_the_true_amounts_and_they_add_up_to_zero() -> None:
    proof = Proof()
    for document in documents([BEGUN, [SPENT]]):
        assert proof.check(document, {}) is None
    assert {key: state.posted for key, state in proof.states.items() if state.posted} == {
        "@issuance:GEMS": -10,
        "@revenue:GEMS": 6,
        "alice": 4,
    }
    assert proof.imbalance() is None
    assert list(proof.touched) == ["alice", "@revenue:GEMS"]


@pytest.mark.parametrize("entry", every_kind_of_entry())
def test_an_entry_with_a_field_of_another_type_has_not_its_shape(entry: Entry) -> None:
    assert entry_has_its_shape(entry)
    for name, value in zip(entry._fields, entry, strict=True):
        for other in (b"", 1.5, object(), True if isinstance(value, int) else 2**63, "\ud800"):
            change: dict[str, Any] = {name: other}
            assert not entry_has_its_shape(entry._replace(**change)), name


def test_a_document_with_a_field_of_another_type_has_not_its_shape() -> None:
    (document,) = documents([BEGUN])
    assert has_its_shape(document)
    for name in ("book", "seq", "time_ms", "nonce", "previous", "digest"):
        forged = seal("main", Head(), BEGUN, time_ms=1, nonce="n")
        object.__setattr__(forged, name, 1.5)
        assert not has_its_shape(forged)
