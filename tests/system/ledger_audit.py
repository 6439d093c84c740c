"""Holds what clients of a ledger were told against its journal, as a stranger would who has nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from domain.ledger.account import AccountState
from domain.ledger.chain import Head, JournalDocument, follows, is_intact
from domain.ledger.entries import AccountOpened, Entry, TransferPosted
from domain.ledger.outcomes import Outcome, Posted
from domain.ledger.replay import accounts_of, replay
from ports.ledger.journal import Journal

BOOK = "main"
DOCUMENTS_A_READ_MAX = 256


@dataclass
class Told:
    """What clients were told of their transfers. An answer, once given, must stay true."""

    posted: dict[str, tuple[int, Entry]] = field(default_factory=dict)
    """By the transfer's id: where it is said to stand, and as what."""
    rejected: set[str] = field(default_factory=set)

    def remember(self, transfer_id: str, outcome: Outcome) -> None:
        if isinstance(outcome, Posted):
            told = (outcome.recorded.seq, outcome.recorded.entry)
            assert self.posted.setdefault(transfer_id, told) == told, (
                f"{transfer_id} was answered in two ways"
            )
        else:
            self.rejected.add(transfer_id)


async def whole_journal(journal: Journal) -> list[JournalDocument]:
    documents: list[JournalDocument] = []
    while True:
        after = documents[-1].seq if documents else 0
        found = await journal.after(BOOK, after, limit=DOCUMENTS_A_READ_MAX)
        documents += found
        if len(found) < DOCUMENTS_A_READ_MAX:
            return documents


def entries_by_key(documents: Sequence[JournalDocument]) -> dict[str, tuple[int, Entry]]:
    """Where each key stands; it may stand once only."""
    found: dict[str, tuple[int, Entry]] = {}
    for document in documents:
        for entry in document.entries:
            for key in entry.keys:
                assert key not in found, f"{key} was recorded twice"
                found[key] = (document.seq, entry)
    return found


def audited(documents: Sequence[JournalDocument], told: Told) -> dict[str, AccountState]:
    """The accounts that follow from a whole journal: its numbers have no gap, its chain is intact, each key
    stands once, what was acknowledged stands as it was told and what was rejected stands nowhere, and every
    asset adds up to zero."""
    head = Head()
    for document in documents:
        assert follows(head, document), f"document {document.seq} does not follow"
        assert is_intact(document), f"document {document.seq} is not what was sealed"
        head = document.head
    found = entries_by_key(documents)
    for transfer_id, where in told.posted.items():
        assert found.get(f"t:{transfer_id}") == where, f"{transfer_id} was acknowledged, and is not there"
    assert not told.rejected & {key.removeprefix("t:") for key in found}, "a rejected transfer was posted"
    states, balances = replayed(documents), added_up(documents)
    assert {key: state.posted for key, state in states.items()} == balances
    totals: Counter[str] = Counter()
    for state in states.values():
        totals[state.account.asset] += state.posted
    assert not any(totals.values()), f"these do not add up: {totals}"
    return states


def replayed(documents: Sequence[JournalDocument]) -> dict[str, AccountState]:
    states: dict[str, AccountState | None] = {}
    for document in documents:
        for entry in document.entries:
            for key, _ in accounts_of(entry):
                states.setdefault(key, None)
        states.update(replay(states, document).accounts)
    return {key: state for key, state in states.items() if state is not None}


def added_up(documents: Sequence[JournalDocument]) -> Mapping[str, int]:
    """Balances by nothing but addition, which must agree with the state machine's."""
    balances: dict[str, int] = {}
    for entry in (entry for document in documents for entry in document.entries):
        if isinstance(entry, AccountOpened):
            balances[entry.account.key] = 0
        elif isinstance(entry, TransferPosted):
            for side, amount in ((entry.source, -entry.amount), (entry.destination, entry.amount)):
                is_system = side.startswith("@")
                key = f"{side}:{entry.asset}" if is_system else side
                balances[key] = balances.get(key, 0) + amount
                assert balances[key] >= 0 or side == "@issuance", f"{side} was overdrawn by {entry.id}"
    return balances
