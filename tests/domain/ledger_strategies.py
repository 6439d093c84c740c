"""Commands as Hypothesis draws them, and the naive ledger that audits every answer."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from hypothesis import strategies as st

from domain.ledger.account import ISSUANCE, REVENUE, Account, is_system
from domain.ledger.commands import (
    Command,
    GrantTerms,
    OpenAccount,
    PostTransfer,
    Submission,
    opening_key,
    transfer_key,
)
from domain.ledger.entries import TransferPosted
from domain.ledger.outcomes import Outcome, Posted, Rejected

ASSETS = ("GEMS", "TOKENS")
ACCOUNTS = tuple(f"account-{number}" for number in range(5))


def opening(
    account_id: str, asset: str = "GEMS", *, overdraft: int = 0, user: str | None = None, variant: str = ""
) -> OpenAccount:
    account = Account(account_id, asset, user, overdraft)
    fingerprint = f"{account_id}/{asset}/{overdraft}/{user}/{variant}"
    return OpenAccount(account, (opening_key(account_id),), fingerprint, "tests", repeatable=True)


def transfer(
    source: str, destination: str, amount: int, *, id: str, code: str = "test", key: str | None = None
) -> PostTransfer:
    keys = (transfer_key(id),) if key is None else (transfer_key(id), key)
    fingerprint = f"{source}/{destination}/{amount}/{code}"
    grant = GrantTerms("paid", 50) if source == ISSUANCE else None
    return PostTransfer(
        id, source, destination, amount, code, keys, fingerprint, "tests", "", grant, repeatable=True
    )


def one(command: Command) -> Submission:
    return Submission((command,))


amounts = st.integers(1, 60)
openings = st.builds(
    opening, st.sampled_from(ACCOUNTS), st.sampled_from(ASSETS), overdraft=st.sampled_from((0, 0, 25))
)
transfer_ids = st.integers(0, 30).map("t-{}".format)


@st.composite
def transfers(draw: st.DrawFn) -> PostTransfer:
    source = draw(st.sampled_from((ISSUANCE, ISSUANCE, REVENUE, *ACCOUNTS)))
    others = [each for each in (REVENUE, *ACCOUNTS) if each != source]
    destinations = [each for each in others if not (is_system(source) and is_system(each))]
    return transfer(source, draw(st.sampled_from(destinations)), draw(amounts), id=draw(transfer_ids))


commands = st.one_of(openings, transfers(), transfers(), transfers())
submissions = st.one_of(
    commands.map(one),
    st.lists(commands, min_size=1, max_size=4).map(lambda some: Submission(tuple(some), atomic=True)),
)
batches = st.lists(st.lists(submissions, min_size=1, max_size=6), min_size=1, max_size=8)


@dataclass
class NaiveLedger:
    """The rules written the slow and obvious way: dictionaries, no batches, no overlay."""

    assets: dict[str, str] = field(default_factory=dict)
    overdrafts: dict[str, int] = field(default_factory=dict)
    balances: Counter[tuple[str, str]] = field(default_factory=Counter)
    answers: dict[str, str] = field(default_factory=dict)

    def expected(self, submission: Submission) -> list[str]:
        """What each command's outcome must be; applies them."""
        before = (dict(self.assets), dict(self.overdrafts), Counter(self.balances), dict(self.answers))
        results = [self._apply(command) for command in submission.commands]
        if submission.atomic and any(result not in ("posted", "replayed") for result in results):
            self.assets, self.overdrafts, self.balances, self.answers = before
            results = ["batch_rejected" if result == "posted" else result for result in results]
        return results

    def _apply(self, command: Command) -> str:
        key = command.keys[0]
        if key in self.answers:
            if self.answers[key] == command.fingerprint:
                return "replayed"
            return "account_exists" if isinstance(command, OpenAccount) else "idempotency_conflict"
        result = self._open(command) if isinstance(command, OpenAccount) else self._move(command)
        if result == "posted":
            self.answers[key] = command.fingerprint
        return result

    def _open(self, command: OpenAccount) -> str:
        self.assets[command.account.id] = command.account.asset
        self.overdrafts[command.account.id] = command.account.overdraft_limit or 0
        return "posted"

    def _move(self, command: PostTransfer) -> str:
        plain = [side for side in (command.source, command.destination) if not is_system(side)]
        if any(side not in self.assets for side in plain):
            return "account_not_found"
        if len({self.assets[side] for side in plain}) != 1:
            return "asset_mismatch"
        asset = self.assets[plain[0]]
        floor = -self.overdrafts.get(command.source, 0)
        if command.source != ISSUANCE and self.balances[command.source, asset] - command.amount < floor:
            return "insufficient_funds"
        self.balances[command.source, asset] -= command.amount
        self.balances[command.destination, asset] += command.amount
        return "posted"


def named(outcome: Outcome) -> str:
    if isinstance(outcome, Rejected):
        return outcome.reason.value
    return "replayed" if outcome.replayed else "posted"


def transfer_of(outcome: Outcome) -> TransferPosted:
    assert isinstance(outcome, Posted)
    assert isinstance(outcome.recorded.entry, TransferPosted)
    return outcome.recorded.entry
