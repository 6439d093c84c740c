"""Long lives of a ledger, step by step beside the naive one: commands about what is there."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, multiple, rule

from domain.ledger.account import ISSUANCE, REVENUE
from domain.ledger.commands import Command, SettleDue, Submission
from domain.ledger.lots import PAID, PROMOTIONAL
from tests.domain.ledger import asking as ask
from tests.domain.ledger.asking import ACCOUNTS, atomic, one
from tests.domain.ledger.audit import Audit
from tests.domain.ledger.strategies import AMOUNTS, LATER
from tests.seeds import examples

accounts = st.sampled_from((*ACCOUNTS, "alice", "alice", "bob"))
amounts = st.sampled_from(AMOUNTS)
moments = st.sampled_from(LATER)
later = st.one_of(st.none(), moments)


class LedgerLife(RuleBasedStateMachine):
    """Commands gather until `commit`; what they are about may be in the same batch or long past."""

    grants = Bundle("grants")
    holds = Bundle("holds")
    transfers = Bundle("transfers")

    def __init__(self) -> None:
        super().__init__()
        self.audit = Audit()
        self.now_ms = 1_000
        self.made = 0
        self.batch: list[Submission] = []

    def _id(self, prefix: str) -> str:
        self.made += 1
        return f"{prefix}-{self.made}"

    def _ask(self, command: Command) -> None:
        self.batch.append(one(command))

    @initialize()
    def open_accounts(self) -> None:
        for account in ACCOUNTS:
            self._ask(ask.usual_opening(account))
        self._ask(ask.received("alice", 30, id="seed"))

    @rule(pause=st.sampled_from((0, 1, 9, 10, 10, 20, 50, ask.DAY_MS)))
    def commit(self, pause: int) -> None:
        batch, self.batch = self.batch, []
        self.audit.submit(batch, time_ms=self.now_ms)
        self.now_ms += pause

    @rule(pause=st.sampled_from((10, 10, 20, 100)))
    def commit_and_wait(self, pause: int) -> None:
        self.commit(pause)

    @rule(others=st.integers(2, 4))
    def make_atomic(self, others: int) -> None:
        together = self.batch[-others:]
        del self.batch[-others:]
        self.batch.append(atomic(*(command for each in together for command in each.commands)))

    @rule(
        target=grants, account=accounts, amount=amounts, begins=later, expires=later,
        category=st.sampled_from((PAID, PROMOTIONAL)), priority=st.sampled_from((0, 50)),
    )  # fmt: skip
    def grant(
        self, account: str, amount: int, begins: int | None, expires: int | None, category: str, priority: int
    ) -> str:
        name = self._id("g")
        starts = self.now_ms + (begins or 0)
        self._ask(
            ask.grant(
                account, amount, id=name, category=category, priority=priority,
                begins=None if begins is None else starts,
                expires=None if expires is None else starts + expires,
            )
        )  # fmt: skip
        return name

    @rule(
        target=transfers, source=accounts, destination=st.sampled_from((REVENUE, *ACCOUNTS)), amount=amounts
    )
    def transfer(self, source: str, destination: str, amount: int) -> object:
        if source == destination:
            return multiple()
        name = self._id("t")
        self._ask(ask.transfer(source, destination, amount, id=name))
        return name

    @rule(target=transfers, source=accounts, amount=amounts, key=st.integers(0, 3), old=st.booleans())
    def transfer_of_a_keyed_batch(self, source: str, amount: int, key: int, old: bool) -> str:
        name = f"keyed-{key}-{source}-{amount}" if old else self._id("t")
        sent = ask.transfer(source, REVENUE, amount, id=name, key=f"k:{name}", remembers_refusal=True)
        self._ask(sent)
        return name

    @rule(target=transfers, account=accounts, amount=amounts)
    def take_back(self, account: str, amount: int) -> str:
        name = self._id("t")
        self._ask(ask.transfer(account, ISSUANCE, amount, id=name))
        return name

    @rule(account=accounts, amount=amounts)
    def receive(self, account: str, amount: int) -> None:
        self._ask(ask.received(account, amount, id=self._id("t")))

    @rule(
        target=holds,
        account=accounts,
        amount=amounts,
        expires_in=moments,
        to=st.sampled_from((REVENUE, "shop", "bob")),
    )
    def hold(self, account: str, amount: int, expires_in: int, to: str) -> object:
        if account == to:
            return multiple()
        name = self._id("h")
        self._ask(ask.hold(account, amount, id=name, destination=to, expires_in=expires_in))
        return name

    @rule(target=transfers, hold=holds, amount=st.one_of(st.none(), st.integers(1, 20)), final=st.booleans())
    def capture(self, hold: str, amount: int | None, final: bool) -> str:
        name = self._id("c")
        self._ask(ask.capture(hold, amount, id=name, final=final))
        return name

    @rule(hold=holds)
    def void_hold(self, hold: str) -> None:
        self._ask(ask.void_hold(hold, id=self._id("w")))

    @rule(grant=grants)
    def void_grant(self, grant: str) -> None:
        self._ask(ask.void_grant(grant, id=self._id("v")))

    @rule(
        transfer=transfers,
        amount=st.one_of(st.none(), st.integers(1, 20)),
        back=st.one_of(st.none(), st.integers(0, 20)),
    )
    def reverse(self, transfer: str, amount: int | None, back: int | None) -> None:
        dated = None if back is None else self.now_ms - back
        self._ask(ask.reverse(transfer, amount, id=self._id("r"), effective_ms=dated))

    @rule(account=accounts, below=amounts, amount=amounts, most=st.integers(1, 3), fills=st.booleans())
    def set_rule(self, account: str, below: int, amount: int, most: int, fills: bool) -> None:
        number, to = self.made % 4, below + amount if fills else None
        step = 0 if fills else amount
        self._ask(ask.rule(account, below, step, id=f"rule-{number}", max_per_day=most, to=to))

    @rule(number=st.integers(0, 3), account=accounts)
    def remove_rule(self, number: int, account: str) -> None:
        self._ask(ask.remove_rule(f"rule-{number}", account))

    @rule(account=accounts)
    def look(self, account: str) -> None:
        self._ask(SettleDue(account))

    @rule(place=st.integers(0, 5))
    def repeat(self, place: int) -> None:
        if place < len(self.batch):
            self.batch.append(self.batch[place])


TestLedgerLife = LedgerLife.TestCase
TestLedgerLife.settings = settings(max_examples=examples(30), stateful_step_count=60, deadline=None)
