"""Tells the owners of accounts their balances, as each document leaves them."""

from __future__ import annotations

from application.realtime.outgoing import PushFate
from credit_system import (
    DEFAULT_BOOK,
    BalancePush,
    CommittedBatch,
    HoldPlaced,
    HoldReleased,
    LowBalancePush,
    PluginContext,
    Realtime,
    TransferPosted,
)
from domain.ledger.replay import accounts_of
from domain.realtime.messages import Push
from plugins.credits.measures import DROPPED
from plugins.credits.missed import MissedBalances

MOVING = (TransferPosted, HoldPlaced, HoldReleased)
"""Entries that change posted or held credits: captures, expiries and grants that begin are transfers."""


class BalanceAnnouncements:
    """Queues pushes; it never waits for the bus."""

    def __init__(self, context: PluginContext, realtime: Realtime, missed: MissedBalances) -> None:
        self._realtime = realtime
        self._missed = missed
        self._dropped = context.register_metric(DROPPED)

    def committed(self, payload: object) -> None:
        """Hook `ledger.committed`: one push for each account that the document moved, as it left it.

        Only that state was ever true outside of the batch, and a batch of thousands of transfers of one
        account would fill its owner's outbox.
        """
        if not isinstance(payload, CommittedBatch) or payload.document.book != DEFAULT_BOOK:
            # Users act in the book `main`: what a key of another book calls theirs is not their own.
            return
        document = payload.document

        def ended(fate: PushFate) -> None:
            # Of a document whose pushes were not published, those who look for missed balances read it.
            if fate is PushFate.PUBLISHED:
                self._missed.published(document.seq)
            elif fate is PushFate.DROPPED:
                self._dropped.add(payload.entries_count)

        self._realtime.queue_to_users(_pushes_of(payload), ended=ended)


def _pushes_of(batch: CommittedBatch) -> list[tuple[str, Push]]:
    """With the user ids of the accounts' owners."""
    pushes: list[tuple[str, Push]] = []
    seq = batch.document.seq
    low = {state.account.key for state in batch.low}
    moved = dict.fromkeys(
        key for entry in batch.document.entries if isinstance(entry, MOVING) for key, _ in accounts_of(entry)
    )
    for key in moved:
        state = batch.states[key]
        account = state.account
        if account.user_id is None:
            continue
        pushes.append(
            (account.user_id, BalancePush(account.id, state.posted, state.held, state.available, seq))
        )
        if key in low and account.low_balance is not None:
            warning = LowBalancePush(account.id, state.available, account.low_balance, seq)
            pushes.append((account.user_id, warning))
    return pushes
