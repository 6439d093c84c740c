"""A ledger in a list. Every batch that it commits is checked in the ways that hold whatever was asked."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from domain.ledger.account import AccountState, account_key
from domain.ledger.chain import Head, JournalDocument, follows, is_intact, seal
from domain.ledger.commands import Command, ReverseTransfer, Submission, transfer_key
from domain.ledger.entries import Entry, Recorded, TransferPosted
from domain.ledger.machine import Decision, decide, effective
from domain.ledger.outcomes import CommandOutcome, Posted, Rejected, Settled
from domain.ledger.prefetch import prefetch_keys
from domain.ledger.records import Record, entry_of, record_of
from domain.ledger.replay import accounts_of, replay
from domain.ledger.subjects import GrantState, HoldState, Subject, TransferState, keys_of_subjects
from tests.domain.ledger.asking import one

State = TypeVar("State")

LOADS_MAX = 4
"""A command names a transfer, the transfer its accounts and grants, an account the system's accounts."""


class Loaded(Mapping[str, State | None], Generic[State]):
    """What somebody loaded. Whoever looks for anything else has found a hole in `prefetch_keys`."""

    def __init__(self) -> None:
        self._states: dict[str, State | None] = {}

    def load(self, keys: Iterable[str], everything: Mapping[str, State]) -> None:
        self._states.update((key, everything.get(key)) for key in keys)

    def __getitem__(self, key: str) -> State | None:
        assert key in self._states, f"{key} was looked at, and nobody said that it would be"
        return self._states[key]

    def __contains__(self, key: object) -> bool:
        return key in self._states

    def __iter__(self) -> Iterator[str]:
        return iter(self._states)

    def __len__(self) -> int:
        return len(self._states)


class _Needed(Loaded[State]):
    """Lets `prefetch_keys` find out by looking: what is not there yet is None."""

    def get(self, key: str, default: object = None) -> State | None:
        assert default is None
        return self._states.get(key)


class Play:
    """Decides, appends, remembers; knows nothing between two batches but what it loads for each."""

    def __init__(self) -> None:
        self.accounts: dict[str, AccountState] = {}
        self.subjects: dict[str, Subject] = {}
        self.known: dict[str, Recorded] = {}
        self.head = Head()
        self.documents: list[JournalDocument] = []

    @property
    def now_ms(self) -> int:
        return self.head.time_ms

    def copy(self) -> Play:
        """The same ledger, from here on by itself."""
        other = Play()
        other.accounts = dict(self.accounts)
        other.subjects = dict(self.subjects)
        other.known = dict(self.known)
        other.head = self.head
        other.documents = list(self.documents)
        return other

    def commit(self, submissions: list[Submission], *, time_ms: int) -> Decision:
        decision = self.decided(submissions, time_ms)
        if decision.entries:
            nonce = f"nonce-{self.head.seq}"
            document = seal("main", self.head, decision.entries, time_ms=time_ms, nonce=nonce)
            self.append(document, decision)
        else:
            assert not decision.changed
            assert not decision.changed_subjects
        return decision

    def decided(self, submissions: list[Submission], time_ms: int) -> Decision:
        commands = [command for submission in submissions for command in submission.commands]
        accounts: _Needed[AccountState] = _Needed()
        subjects: _Needed[Subject] = _Needed()
        self._load(commands, accounts, subjects)
        decision = self._try(submissions, accounts, subjects, time_ms)
        if decision.missing:
            # Only a transfer that the journal does not have can need what nobody could know of.
            reversed_keys = {transfer_key(each.of) for each in commands if isinstance(each, ReverseTransfer)}
            assert any(key not in self.subjects for key in reversed_keys)
            subjects.load(decision.missing, self.subjects)
            self._load(commands, accounts, subjects)
            decision = self._try(submissions, accounts, subjects, time_ms)
        assert not decision.missing
        return decision

    def _load(
        self, commands: list[Command], accounts: _Needed[AccountState], subjects: _Needed[Subject]
    ) -> None:
        for _ in range(LOADS_MAX):
            wanted, things = prefetch_keys(commands, accounts, subjects)
            if not (wanted or things):
                return
            accounts.load(wanted, self.accounts)
            subjects.load(things, self.subjects)
        raise AssertionError("what is missing finds no end")

    def _try(
        self,
        submissions: list[Submission],
        accounts: Loaded[AccountState],
        subjects: Loaded[Subject],
        time_ms: int,
    ) -> Decision:
        strict_accounts: Loaded[AccountState] = Loaded()
        strict_accounts.load(accounts, self.accounts)
        known = dict(self.known)
        decision = decide(
            strict_accounts, submissions, known=known, seq=self.head.seq + 1, time_ms=time_ms,
            subjects=subjects,
        )  # fmt: skip
        assert known == self.known
        return decision

    def append(self, document: JournalDocument, decision: Decision) -> None:
        assert follows(self.head, document)
        assert is_intact(document)
        for entry in document.entries:
            text = json.dumps(record_of(entry))
            read: Record = json.loads(text)
            assert entry_of(read) == entry
            taken = [key for key in entry.keys if key in self.known]
            assert not taken, f"the journal's unique index has {taken} already"
            self.known.update((key, Recorded(entry, document.seq, document.time_ms)) for key in entry.keys)
        replayed = replay(
            with_missing(self.accounts, account_keys_of(document)),
            document,
            with_missing(self.subjects, subject_keys_of(document)),
        )
        assert replayed.accounts == decision.changed
        assert decision.changed_subjects.items() <= replayed.subjects.items()
        self.accounts.update(decision.changed)
        self.subjects.update(replayed.subjects)
        self.documents.append(document)
        self.head = document.head

    # --- what a test asks for

    def state(self, account_id: str, asset: str = "GEMS", *, at: int | None = None) -> AccountState:
        """The account as it stands at a moment, recorded or not; now if none is said."""
        state = self.accounts[account_key(account_id, asset)]
        return effective(state, self.now_ms if at is None else at).state

    def posted(self, account_id: str, asset: str = "GEMS") -> int:
        key = account_key(account_id, asset)
        return self.state(account_id, asset).posted if key in self.accounts else 0

    def lots(self, account_id: str) -> list[tuple[str, int, int]]:
        """Grant, remaining, held, in burn-down order."""
        return [(lot.grant, lot.remaining, lot.held) for lot in self.state(account_id).holdings.lots]

    def hold(self, hold_id: str) -> HoldState:
        state = self.subjects[f"h:{hold_id}"]
        assert isinstance(state, HoldState)
        return state

    def grant(self, grant_id: str) -> GrantState:
        state = self.subjects[f"g:{grant_id}"]
        assert isinstance(state, GrantState)
        return state

    def transfer(self, transfer_id: str) -> TransferState:
        state = self.subjects[f"t:{transfer_id}"]
        assert isinstance(state, TransferState)
        return state

    def ask(self, *commands: Command, at: int | None = None) -> list[str]:
        """Each on its own, all in one batch: what became of them."""
        time_ms = self.now_ms if at is None else at
        decision = self.commit([one(command) for command in commands], time_ms=time_ms)
        return [named(outcome) for (outcome,) in decision.outcomes]

    def do(self, *commands: Command, at: int | None = None) -> Entry:
        """Each on its own, all in one batch: all are posted, and the last one's entry comes back."""
        time_ms = self.now_ms if at is None else at
        decision = self.commit([one(command) for command in commands], time_ms=time_ms)
        outcomes = [outcome for (outcome,) in decision.outcomes]
        assert [named(outcome) for outcome in outcomes] == ["posted"] * len(commands)
        return entry_in(outcomes[-1])

    def moved(self, *commands: Command, at: int | None = None) -> TransferPosted:
        entry = self.do(*commands, at=at)
        assert isinstance(entry, TransferPosted)
        return entry


def account_keys_of(document: JournalDocument) -> set[str]:
    return {key for entry in document.entries for key, _ in accounts_of(entry)}


def subject_keys_of(document: JournalDocument) -> set[str]:
    return {key for entry in document.entries for key in keys_of_subjects(entry)}


def with_missing(states: Mapping[str, State], keys: Iterable[str]) -> dict[str, State | None]:
    """The states of these keys, None for those that do not exist yet."""
    return {key: states.get(key) for key in keys}


def play(*commands: Command, at: int = 1_000) -> Play:
    """A ledger in which all of these were posted."""
    ledger = Play()
    ledger.do(*commands, at=at)
    return ledger


def played(plan: Iterable[tuple[int, list[Submission]]]) -> Play:
    ledger = Play()
    for time_ms, batch in plan:
        ledger.commit(batch, time_ms=time_ms)
    return ledger


def named(outcome: CommandOutcome) -> str:
    if isinstance(outcome, Rejected):
        return outcome.reason.value
    if isinstance(outcome, Settled):
        return "settled"
    return "replayed" if outcome.replayed else "posted"


def entry_in(outcome: CommandOutcome) -> Entry:
    assert isinstance(outcome, Posted)
    return outcome.recorded.entry
