"""The ledger's rules: what may be posted, what is refused, and what always holds."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hypothesis import given

from domain.ledger.account import (
    AMOUNT_MAX,
    BALANCE_MAX,
    EXPIRED,
    ISSUANCE,
    REVENUE,
    Account,
    AccountState,
    account_key,
)
from domain.ledger.chain import GENESIS, Head, JournalDocument, follows, is_intact, seal
from domain.ledger.commands import Submission
from domain.ledger.entries import Entry, Recorded
from domain.ledger.machine import Decision, decide, replay
from domain.ledger.outcomes import Outcome, Rejected, Rejection
from domain.ledger.records import entry_of, record_of
from tests.domain.ledger_strategies import (
    ACCOUNTS,
    ASSETS,
    NaiveLedger,
    batches,
    named,
    one,
    opening,
    transfer,
    transfer_of,
)


class Play:
    """A ledger in a list: decides, appends, remembers."""

    def __init__(self) -> None:
        self.accounts: dict[str, AccountState] = {}
        self.known: dict[str, Recorded] = {}
        self.head = Head()
        self.documents: list[JournalDocument] = []

    def commit(self, submissions: list[Submission], *, time_ms: int = 1) -> Decision:
        decision = decide(
            self.accounts, submissions, known=self.known, seq=self.head.seq + 1, time_ms=time_ms
        )
        self.accounts.update(decision.changed)
        if decision.entries:
            nonce = f"nonce-{self.head.seq}"
            sealed = seal("main", self.head, decision.entries, time_ms=time_ms, nonce=nonce)
            self.documents.append(sealed.document)
            self.head = sealed.document.head
        for entry in decision.entries:
            self.known.update((key, Recorded(entry, self.head.seq, time_ms)) for key in entry.keys)
        return decision

    def posted(self, account_id: str, asset: str = "GEMS") -> int:
        state = self.accounts.get(account_key(account_id, asset))
        return state.posted if state else 0


def play(*submissions: Submission) -> tuple[Play, list[Outcome]]:
    ledger = Play()
    decision = ledger.commit(list(submissions))
    return ledger, [outcome for outcomes in decision.outcomes for outcome in outcomes]


def test_a_grant_issues_credits_and_a_transfer_moves_them() -> None:
    ledger, outcomes = play(
        one(opening("alice")),
        one(transfer(ISSUANCE, "alice", 1_000, id="g1")),
        one(transfer("alice", REVENUE, 250, id="t1")),
    )
    assert [named(outcome) for outcome in outcomes] == ["posted"] * 3
    assert ledger.posted("alice") == 750
    assert ledger.posted(ISSUANCE) == -1_000
    assert ledger.posted(REVENUE) == 250


def test_an_entry_carries_the_balances_it_left_behind() -> None:
    _, outcomes = play(
        one(opening("alice")),
        one(transfer(ISSUANCE, "alice", 10, id="g1")),
        one(transfer("alice", REVENUE, 4, id="t1")),
    )
    entry = transfer_of(outcomes[2])
    assert (entry.source_posted, entry.destination_posted) == (6, 4)


def test_spending_more_than_available_changes_nothing() -> None:
    ledger, outcomes = play(one(opening("alice")), one(transfer("alice", REVENUE, 1, id="t1")))
    assert outcomes[1] == Rejected(Rejection.INSUFFICIENT_FUNDS)
    assert ledger.posted("alice") == 0
    assert len(ledger.documents[0].entries) == 1


def test_an_overdraft_is_spent_to_its_limit_and_no_further() -> None:
    _, outcomes = play(
        one(opening("alice", overdraft=5)),
        one(transfer("alice", REVENUE, 5, id="t1")),
        one(transfer("alice", REVENUE, 1, id="t2")),
    )
    assert [named(outcome) for outcome in outcomes[1:]] == ["posted", "insufficient_funds"]


@pytest.mark.parametrize("system", [REVENUE, EXPIRED])
def test_system_accounts_but_issuance_never_go_below_zero(system: str) -> None:
    _, outcomes = play(one(opening("alice")), one(transfer(system, "alice", 1, id="t1")))
    assert outcomes[1] == Rejected(Rejection.INSUFFICIENT_FUNDS)


def test_assets_do_not_mix() -> None:
    ledger, outcomes = play(
        one(opening("alice", "GEMS")),
        one(opening("bob", "TOKENS")),
        one(transfer(ISSUANCE, "alice", 5, id="g1")),
        one(transfer("alice", "bob", 5, id="t1")),
    )
    assert outcomes[3] == Rejected(Rejection.ASSET_MISMATCH)
    assert ledger.posted(ISSUANCE, "GEMS") == -5
    assert ledger.posted(ISSUANCE, "TOKENS") == 0


def test_an_account_that_was_not_opened_is_not_found() -> None:
    _, outcomes = play(one(opening("alice")), one(transfer("nobody", "alice", 1, id="t1")))
    assert outcomes[1] == Rejected(Rejection.ACCOUNT_NOT_FOUND)


def test_a_missing_account_outranks_missing_funds() -> None:
    _, outcomes = play(one(opening("alice")), one(transfer("alice", "nobody", 1, id="t1")))
    assert outcomes[1] == Rejected(Rejection.ACCOUNT_NOT_FOUND)


def test_the_same_id_with_the_same_body_answers_the_first_answer() -> None:
    ledger, _ = play(one(opening("alice")), one(transfer(ISSUANCE, "alice", 9, id="g1")))
    first = ledger.known["t:g1"]
    (again,) = ledger.commit([one(transfer(ISSUANCE, "alice", 9, id="g1"))], time_ms=99).outcomes[0]
    assert not isinstance(again, Rejected)
    assert (again.recorded, again.replayed) == (first, True)
    assert ledger.posted("alice") == 9


def test_the_same_id_with_another_body_is_a_conflict() -> None:
    _, outcomes = play(
        one(opening("alice")),
        one(transfer(ISSUANCE, "alice", 9, id="g1")),
        one(transfer(ISSUANCE, "alice", 8, id="g1")),
    )
    assert outcomes[2] == Rejected(Rejection.IDEMPOTENCY_CONFLICT)


def test_a_key_repeats_a_command_whose_id_the_server_made() -> None:
    ledger, outcomes = play(
        one(opening("alice")),
        one(transfer(ISSUANCE, "alice", 9, id="made-1", key="k:grants:x")),
        one(transfer(ISSUANCE, "alice", 9, id="made-2", key="k:grants:x")),
        one(transfer(ISSUANCE, "alice", 7, id="made-3", key="k:grants:x")),
    )
    assert [named(outcome) for outcome in outcomes[1:]] == ["posted", "replayed", "idempotency_conflict"]
    assert transfer_of(outcomes[2]).id == "made-1"
    assert ledger.posted("alice") == 9


def test_an_account_opened_again_otherwise_exists_already() -> None:
    _, outcomes = play(one(opening("alice")), one(opening("alice", overdraft=9)), one(opening("alice")))
    assert [named(outcome) for outcome in outcomes] == ["posted", "account_exists", "replayed"]


def test_an_atomic_batch_posts_nothing_when_one_command_cannot() -> None:
    ledger, outcomes = play(
        one(opening("alice")),
        one(transfer(ISSUANCE, "alice", 10, id="g1")),
        Submission(
            (transfer("alice", REVENUE, 6, id="t1"), transfer("alice", REVENUE, 6, id="t2")), atomic=True
        ),
        one(transfer("alice", REVENUE, 1, id="t1")),
    )
    assert [named(outcome) for outcome in outcomes[2:]] == ["batch_rejected", "insufficient_funds", "posted"]
    assert ledger.posted("alice") == 9


def test_a_balance_never_leaves_what_a_store_can_hold() -> None:
    full = AccountState(Account("alice", "GEMS"), BALANCE_MAX - 5, 0, 1)
    decision = decide(
        {"alice": full}, [one(transfer(ISSUANCE, "alice", 6, id="g1"))], known={}, seq=2, time_ms=1
    )
    assert decision.outcomes == ((Rejected(Rejection.BALANCE_OVERFLOW),),)
    assert decision.entries == ()


@pytest.mark.parametrize("amount", [0, -1, AMOUNT_MAX + 1])
def test_an_amount_outside_its_range_is_no_command(amount: int) -> None:
    with pytest.raises(ValueError, match="amount"):
        transfer("alice", "bob", amount, id="t1")


@given(batches)
def test_every_answer_is_the_one_of_the_naive_ledger(plan: list[list[Submission]]) -> None:
    ledger, naive = Play(), NaiveLedger()
    for batch in plan:
        expected = [naive.expected(submission) for submission in batch]
        decision = ledger.commit(batch)
        assert [[named(outcome) for outcome in outcomes] for outcomes in decision.outcomes] == expected
    for (account_id, asset), balance in naive.balances.items():
        assert ledger.posted(account_id, asset) == balance


@given(batches)
def test_the_sum_over_an_asset_is_always_zero(plan: list[list[Submission]]) -> None:
    ledger = Play()
    for batch in plan:
        ledger.commit(batch)
        sums: Counter[str] = Counter()
        for state in ledger.accounts.values():
            sums[state.account.asset] += state.posted
        assert all(total == 0 for total in sums.values())


@given(batches)
def test_deciding_leaves_the_acknowledged_state_alone(plan: list[list[Submission]]) -> None:
    ledger = Play()
    for batch in plan:
        before = dict(ledger.accounts)
        decide(ledger.accounts, batch, known=ledger.known, seq=ledger.head.seq + 1, time_ms=1)
        assert ledger.accounts == before
        ledger.commit(batch)


@given(batches)
def test_replaying_the_journal_gives_the_live_state(plan: list[list[Submission]]) -> None:
    ledger = Play()
    for batch in plan:
        ledger.commit(batch)
    everything: dict[str, AccountState | None] = dict.fromkeys(
        [*ACCOUNTS, *(account_key(system, asset) for system in (ISSUANCE, REVENUE) for asset in ASSETS)]
    )
    for document in ledger.documents:
        everything.update(replay(everything, document.entries, seq=document.seq))
    assert {key: state for key, state in everything.items() if state is not None} == ledger.accounts


@given(batches)
def test_replaying_skips_accounts_that_are_ahead_and_those_not_followed(plan: list[list[Submission]]) -> None:
    ledger = Play()
    for batch in plan:
        ledger.commit(batch)
    for document in ledger.documents:
        assert replay({}, document.entries, seq=document.seq) == {}
        assert replay(ledger.accounts, document.entries, seq=document.seq) == {}


@given(batches)
def test_records_give_back_the_entries_they_were_made_of(plan: list[list[Submission]]) -> None:
    ledger = Play()
    for batch in plan:
        ledger.commit(batch)
    for document in ledger.documents:
        for entry in document.entries:
            assert entry_of(json.loads(json.dumps(record_of(entry)))) == entry


@given(batches)
def test_the_chain_finds_every_edited_missing_or_swapped_document(plan: list[list[Submission]]) -> None:
    ledger = Play()
    for batch in plan:
        ledger.commit(batch)
    head = Head()
    for document in ledger.documents:
        assert follows(head, document)
        assert is_intact(document)
        edited = JournalDocument(
            document.book,
            document.seq,
            document.time_ms + 1,
            document.nonce,
            document.previous,
            document.digest,
            document.entries,
        )
        assert not is_intact(edited)
        head = document.head
    for earlier, later in zip(ledger.documents, ledger.documents[2:], strict=False):
        assert not follows(earlier.head, later)


def test_the_first_document_follows_the_genesis() -> None:
    ledger, _ = play(one(opening("alice")))
    assert ledger.documents[0].previous == GENESIS
    assert ledger.documents[0].seq == 1


def test_recorded_time_never_runs_back() -> None:
    ledger, _ = play(one(opening("alice")))
    with pytest.raises(ValueError, match="time"):
        seal("main", ledger.head, ledger.documents[0].entries, time_ms=0, nonce="n")


@pytest.mark.parametrize("record", [{}, {"kind": "unheard-of"}, {"kind": "transfer", "id": "x"}])
def test_what_is_no_journal_entry_is_refused(record: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not a journal entry"):
        entry_of(record)


def test_a_document_names_each_subject_once() -> None:
    ledger, _ = play(
        one(opening("alice", user="u-1")),
        one(transfer(ISSUANCE, "alice", 3, id="g1")),
        one(transfer(ISSUANCE, "alice", 4, id="g2")),
    )
    assert ledger.documents[0].subjects() == ["a:alice", "u:u-1", "a:@issuance:GEMS"]


def test_a_transfer_that_names_an_unopened_account_is_a_broken_journal() -> None:
    ledger, outcomes = play(one(opening("alice")), one(transfer(ISSUANCE, "alice", 3, id="g1")))
    entries: list[Entry] = [transfer_of(outcomes[1])]
    with pytest.raises(ValueError, match="no document opened"):
        replay({"alice": None}, entries, seq=1)
    assert ledger.head.seq == 1
