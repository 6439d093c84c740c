"""Drives the ledger and the naive oracle with the same batches, and compares all there is to see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from domain.ledger.account import EXPIRED, ISSUANCE, REVENUE, AccountState, account_key
from domain.ledger.commands import Submission
from domain.ledger.entries import TransferPosted
from domain.ledger.machine import Decision, effective
from domain.ledger.outcomes import Posted
from domain.ledger.replay import accounts_of
from domain.ledger.subjects import GrantState, HoldState, TransferState
from tests.domain.ledger.asking import ASSETS, DAY_MS
from tests.domain.ledger.invariants import check_every_invariant
from tests.domain.ledger.oracle import Oracle
from tests.domain.ledger.piles import NEVER
from tests.domain.ledger.play import Play, named
from tests.domain.ledger.strategies import Batch


class Audit:
    def __init__(self) -> None:
        self.ledger = Play()
        self.oracle = Oracle()

    def follow(self, plan: Iterable[Batch]) -> None:
        for time_ms, batch in plan:
            self.submit(batch, time_ms=time_ms)

    def submit(self, submissions: list[Submission], *, time_ms: int) -> list[list[str]]:
        self.oracle.pass_time(time_ms)
        expected = [self.oracle.submit(submission) for submission in submissions]
        decision = self.ledger.commit(submissions, time_ms=time_ms)
        assert [[named(outcome) for outcome in outcomes] for outcomes in decision.outcomes] == expected
        self._compare_repeats(decision)
        self.compare(time_ms)
        check_every_invariant(self.ledger)
        return expected

    def _compare_repeats(self, decision: Decision) -> None:
        """What is answered, first or again, is what the journal has."""
        for outcomes in decision.outcomes:
            for outcome in outcomes:
                if isinstance(outcome, Posted):
                    recorded = outcome.recorded
                    assert all(self.ledger.known[key] == recorded for key in recorded.entry.keys)

    def compare(self, now_ms: int) -> None:
        """Every account, hold, grant and transfer, as each stands at this moment."""
        unrecorded: Counter[str] = Counter()
        for key, state in self.ledger.accounts.items():
            if not key.startswith("@"):
                settled, entries = effective(state, now_ms)
                self._compare_account(settled)
                for entry in entries:
                    if isinstance(entry, TransferPosted):
                        for side, is_source in accounts_of(entry):
                            unrecorded[side] += -entry.amount if is_source else entry.amount
        for system in (ISSUANCE, REVENUE, EXPIRED):
            for asset in ASSETS:
                self._compare_system(account_key(system, asset), unrecorded)
        self._compare_subjects(now_ms)

    def _compare_account(self, state: AccountState) -> None:
        oracle, name = self.oracle, state.account.id
        box = oracle.books.boxes[name]
        assert state.posted == oracle.posted(name)
        assert state.held == oracle.held(name)
        assert state.available == box.available
        assert state.plain_free == box.plain
        lots, holds, scheduled, rules, _ = state.holdings
        assert [(lot.grant, lot.remaining, lot.held) for lot in lots] == oracle.lots(name)
        grants = oracle.books.grants
        assert all((lot.ended or "active") == grants[lot.grant].status for lot in lots)
        assert {hold.id: (hold.remaining, hold.expires_ms, hold.funding) for hold in holds} == {
            hold.id: (hold.left, hold.expires, tuple(part for part in hold.parts if part[0] is not None))
            for hold in oracle.books.holds.values()
            if hold.account == name and hold.status == "pending"
        }
        assert {grant.id for grant in scheduled} == {
            grant.id for grant in grants.values() if grant.account == name and grant.status == "pending"
        }
        day = oracle.now // DAY_MS
        assert [(rule.id, rule.used if rule.day == day else 0) for rule in rules] == [
            (rule.id, rule.acted[day]) for rule in box.rules
        ]

    def _compare_system(self, key: str, unrecorded: Counter[str]) -> None:
        """With what has fallen due, and will be recorded when somebody looks."""
        state = self.ledger.accounts.get(key)
        box = self.oracle.books.boxes.get(key)
        posted = (state.posted if state else 0) + unrecorded[key]
        assert posted == (box.plain if box else 0)

    def _compare_subjects(self, now_ms: int) -> None:
        books = self.oracle.books
        for name, hold in books.holds.items():
            state = self.ledger.subjects[f"h:{name}"]
            assert isinstance(state, HoldState)
            is_over = state.status == "pending" and state.placed.expires_ms <= now_ms
            assert ("expired" if is_over else state.status, state.captured) == (hold.status, hold.captured)
        for name, grant in books.grants.items():
            found = self.ledger.subjects[f"g:{name}"]
            assert isinstance(found, GrantState)
            if found.status == "voided" or grant.status == "voided":
                assert found.status == grant.status
            assert found.amount == grant.amount
            assert (NEVER if found.terms.expires_ms is None else found.terms.expires_ms) == grant.expires
        for name, transfer in books.transfers.items():
            posted = self.ledger.subjects[f"t:{name}"]
            assert isinstance(posted, TransferState)
            if transfer.kind in ("transfer", "capture"):
                assert posted.left == sum(part for _, part in transfer.parts)
                assert posted.funding_left == tuple(part for part in transfer.parts if part[0] is not None)
