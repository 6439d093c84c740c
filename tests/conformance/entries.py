"""One entry of each kind and cause, and an account that has some of everything."""

from __future__ import annotations

from domain.ledger.account import (
    Account,
    AccountState,
    ActiveHold,
    ScheduledGrant,
    TopUpRule,
    holdings_of,
)
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
    Refused,
    Reversal,
    RuleRemoved,
    RuleSet,
    RuleSkipped,
    TransferPosted,
)
from domain.ledger.lots import GrantTerms, Lot

TERMS = GrantTerms("promotional", 3, 40, 2**60)
LOT = Lot("g-1", 2**61, 1, 3, "paid", 70, 4, 2)


def every_kind_of_entry() -> tuple[Entry, ...]:
    causes: list[Cause] = [
        Issue("g-1", TERMS, "rule-1"),
        Lapse("g-1", "expired", 7),
        Capture("h-1", 5, final=False),
        Reversal("t-1", (("g-1", 2),), (LOT,), (("g-2", 1),)),
    ]
    moved = [
        TransferPosted(
            f"t-{place}", "alice", "bob", 5, "GEMS", "test", 5, 2**62, (f"t:t-{place}", f"k:{place}"),
            "f", "tests",
            '{"$set":1}', (("g-1", 3), ("g-2", 1)), 41, cause,
        )
        for place, cause in enumerate([None, *causes])
    ]  # fmt: skip
    return (
        AccountOpened(Account("alice", "GEMS", "u-1", 5, '{"a":1}', 10), ("a:alice",), "f", "tests"),
        AccountOpened(Account("bob", "GEMS"), ("a:bob",), "f", "tests"),
        *moved,
        GrantScheduled("g-3", "alice", "GEMS", 9, TERMS, "grant", ("t:g-3",), "f", "tests", "{}"),
        GrantEnded("g-4", "alice", "GEMS", "voided", 3, ("e:g-4",), "f", "tests", 42),
        HoldPlaced(
            "h-1", "alice", "GEMS", 9, "@revenue", 99, "hold", ("h:h-1",), "f", "tests", "{}", (("g-1", 9),)
        ),
        HoldReleased("h-1", "alice", "GEMS", 4, "expired", ("v:h-1",), "f", "tests", 99),
        RuleSet("r-1", "alice", "GEMS", 100, 50, "paid", 3, ("r:r-1",), "f", "tests"),
        RuleRemoved("r-1", "alice", "GEMS", ("x:r-1",), "f", "tests"),
        *newer_entries(),
    )


def newer_entries() -> tuple[Entry, ...]:
    """One of each kind that only documents of format 2 can hold."""
    filled = Issue("topup:r-2:0.1", TERMS, "r-1", 3)
    return (
        TransferPosted(
            "t-9", "@issuance", "alice", 150, "GEMS", "top_up", -150, 150, ("t:t-9",), "", "ledger",
            cause=filled,
        ),
        RuleSet("r-2", "alice", "GEMS", 100, 0, "paid", 3, ("r:r-2",), "f", "tests", 400),
        RuleSkipped("r-2", "alice", "GEMS", "day_used", ("s:r-2:9.4",), "", "ledger"),
        Refused("t-10", "account_not_found", "nobody", ("k:batch:10:0",), "f", "tests"),
    )  # fmt: skip


def rich_state(account: str = "alice", seq: int = 9, *, due_ms: int) -> AccountState:
    """An account with a lot that expires at `due_ms`, a hold, a scheduled grant and a rule."""
    lots = (
        LOT._replace(expires_ms=due_ms),
        Lot("g-2", 3, 3, 50, "promotional", None, 5, 0, "voided"),
    )
    holds = (ActiveHold("h-1", 9, due_ms + 1, (("g-1", 1), ("g-2", 3))),)
    scheduled = (ScheduledGrant("g-3", 9, GrantTerms("paid", 50, due_ms + 2), "grant", "$metadata"),)
    rules = (TopUpRule("r-1", 100, 50, "paid", 3, 19_000, 2, 400, "day_used", due_ms),)
    whose = Account(account, "GEMS", "u-1", 5, '{"$set":"text"}', 10)
    return AccountState(whose, 2**61 + 9, 9, seq, 300, holdings_of(lots, holds, scheduled, rules))
