"""Requests of every kind, as the first release was sent them, and the journal that it wrote of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from adapters.memory.ledger.journal import MemoryCheckpoints
from application.ledger.book_ports import BookPorts
from application.ledger.orders import AccountOrder, Caller, GrantOrder, HoldOrder, RuleOrder, TransferOrder
from application.ledger.service import Ledger
from domain.ledger.outcomes import Outcome, Posted, Rejected
from ports.ledger.journal import Journal
from tests.simulation.runtime.simulated_runtime import EPOCH_MS, SeededEntropy, Simulation

BOOK: Final = "main"
LINES: Final = Path(__file__).parent / "journals" / "format-1.jsonl"
"""The book's export, written by the first release; nothing writes it again."""
BUSY: Final = LINES.with_name("format-1-busy.jsonl")
"""Another one, of a life with crashes, expiries and reversals in it."""
LEDGER_TIME_MS: Final = EPOCH_MS


async def unheard(_: object) -> None:
    pass


def by(key: str) -> Caller:
    return Caller(BOOK, "api_key:key_1", key)


MANY: Final = (
    TransferOrder("alice", "bob", 5, "gift", id="gift-1"),
    TransferOrder("alice", "nobody", 5, "gift"),
    TransferOrder("alice", "@revenue", 7, "buy", metadata='{"order":"ä"}'),
    TransferOrder("bob", "alice", 10**9, "gift", id="gift-2"),
)


async def requests(ledger: Ledger) -> list[Outcome]:
    """Sends all of them, in order: the first release posted what it did not refuse."""
    answers: list[Outcome] = []

    async def ask(work: Awaitable[Outcome]) -> Posted:
        outcome = await work
        answers.append(outcome)
        assert isinstance(outcome, Posted), outcome
        return outcome

    await ask(ledger.open_account(by("open-1"), AccountOrder("GEMS", "alice", "usr_1", 50, '{"a":1}', 20)))
    await ask(ledger.open_account(by("open-2"), AccountOrder("GEMS", "bob", "usr_2")))
    grant = await ask(ledger.grant(by("grant-1"), GrantOrder("alice", 600, "promotional", 3, "promo")))
    later = GrantOrder("alice", 70, "paid", 50, "grant", '{"b":2}', LEDGER_TIME_MS * 2, LEDGER_TIME_MS * 3)
    scheduled = await ask(ledger.grant(by("grant-2"), later))
    dated = GrantOrder("bob", 40, "paid", 50, "grant", "", LEDGER_TIME_MS - 1_000, LEDGER_TIME_MS * 2)
    await ask(ledger.grant(by("grant-3"), dated))
    spent = await ask(ledger.transfer(by("spend-1"), TransferOrder("alice", "@revenue", 100, "buy")))
    back = TransferOrder("alice", "@revenue", 10, "buy", "spend-2", "", LEDGER_TIME_MS - 500)
    await ask(ledger.transfer(by("spend-2"), back))
    await ask(ledger.set_rule(by("rule-1"), RuleOrder("alice", 500, 100, "paid", 2)))
    await ask(ledger.transfer(by("spend-3"), TransferOrder("alice", "@revenue", 90, "buy")))
    hold = await ask(ledger.hold(by("hold-1"), HoldOrder("alice", 60, "job", metadata='{"c":3}')))
    hold_id = getattr(hold.recorded.entry, "id")  # noqa: B009 - whichever entry it is, the test reads its id
    captured = await ask(ledger.capture(by("capture-1"), hold_id, 20, final=False))
    await ask(ledger.void_hold(by("void-1"), hold_id))
    await ask(ledger.reverse(by("reverse-1"), getattr(spent.recorded.entry, "id"), 30))  # noqa: B009
    await ask(ledger.reverse(by("reverse-2"), getattr(captured.recorded.entry, "id")))  # noqa: B009
    await ask(ledger.void_grant(by("void-2"), getattr(scheduled.recorded.entry, "id")))  # noqa: B009
    await ask(ledger.void_grant(by("void-3"), getattr(grant.recorded.entry, "id")))  # noqa: B009
    answers += await ledger.transfer_batch(by("many-1"), MANY, atomic=False)
    answers += await ledger.transfer_batch(by("many-2"), MANY[:1] + MANY[2:3], atomic=True)
    rule = getattr(answers[7], "recorded").entry.id  # noqa: B009
    await ask(ledger.remove_rule(by("rule-2"), rule))
    return answers


def served(journal: Journal, body: Callable[[Ledger], Awaitable[list[Outcome]]]) -> list[Outcome]:
    """What a ledger on this journal answers to all that `body` asks."""
    simulation = Simulation(1)
    runtime = simulation.outside
    ports = BookPorts(
        runtime, simulation.clock(), SeededEntropy(simulation.random), journal, MemoryCheckpoints()
    )

    async def main() -> list[Outcome]:
        async with runtime.running():
            return await body(Ledger(ports, accounts_max=100, announce=unheard))

    return simulation.run(main)


def what_became(outcomes: list[Outcome]) -> list[str]:
    return [each.reason.value if isinstance(each, Rejected) else "posted" for each in outcomes]
