"""The pure state machine on one core: no I/O, no event loop."""

from __future__ import annotations

import random

from benchmarks.rounds import Figures, answer_rounds_in_order, configuration, repeated
from domain.ledger.account import Account, AccountState
from domain.ledger.chain import Head, seal
from domain.ledger.commands import PostTransfer, Submission, transfer_key
from domain.ledger.machine import decide

BATCH = 4_096
ACCOUNTS = 1_000
FUNDS = 10**12


def main() -> None:
    """`per_second` decides; `sealed_per_second` makes the hashed document of it as well."""
    configuration()
    states = {
        name: AccountState(Account(name, "GOLD"), FUNDS, 0, 1)
        for name in (f"account-{index}" for index in range(ACCOUNTS))
    }
    submissions = [Submission((_command(index),)) for index in range(BATCH)]

    def decided() -> int:
        return len(decide(states, submissions, known={}, seq=2, time_ms=1).entries)

    def sealed() -> int:
        entries = decide(states, submissions, known={}, seq=2, time_ms=1).entries
        return len(seal("main", Head(), entries, time_ms=1, nonce="nonce").entries)

    def measured(seconds: float) -> Figures:
        return {
            "per_second": repeated(decided, seconds / 2),
            "sealed_per_second": repeated(sealed, seconds / 2),
        }

    answer_rounds_in_order(measured, {})


def _command(index: int) -> PostTransfer:
    source, destination = random.sample(range(ACCOUNTS), 2)
    name = f"tr_{index:026d}"
    return PostTransfer(
        name,
        f"account-{source}",
        f"account-{destination}",
        5,
        "purchase",
        (transfer_key(name),),
        "f" * 32,
        "bench",
        repeatable=True,
    )


if __name__ == "__main__":
    main()
