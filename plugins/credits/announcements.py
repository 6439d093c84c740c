"""Tells the owners of accounts what became of their balances."""

from __future__ import annotations

from credit_system import (
    DEFAULT_BOOK,
    BalancePush,
    CommittedBatch,
    HoldPlaced,
    HoldReleased,
    LowBalancePush,
    Realtime,
    TransferPosted,
)
from domain.ledger.replay import accounts_of
from plugins.credits.missed import MissedBalances

MOVING = (TransferPosted, HoldPlaced, HoldReleased)
"""Whatever changes what is posted or held: captures, expiries and grants that begin are transfers."""


class BalanceAnnouncements:
    def __init__(self, realtime: Realtime, missed: MissedBalances) -> None:
        self._realtime = realtime
        self._missed = missed

    async def committed(self, payload: object) -> None:
        """Hook `ledger.committed`: one push for each account that the document moved, as it left it.

        Only that state was ever true outside of the batch, and a batch of thousands of transfers of one
        account would fill its owner's outbox.
        """
        if not isinstance(payload, CommittedBatch) or payload.document.book != DEFAULT_BOOK:
            # Users act in the book `main`: what a key of another book calls theirs is not their own.
            return
        document = payload.document
        low = {state.account.key: state for state in payload.low}
        moved = dict.fromkeys(
            key for entry in document.entries if isinstance(entry, MOVING) for key, _ in accounts_of(entry)
        )
        for key in moved:
            state = payload.states[key]
            account = state.account
            if account.user_id is None:
                continue
            push = BalancePush(account.id, state.posted, state.held, state.available, document.seq)
            await self._realtime.publish_to_user(account.user_id, push)
            if key in low and account.low_balance is not None:
                warning = LowBalancePush(account.id, state.available, account.low_balance, document.seq)
                await self._realtime.publish_to_user(account.user_id, warning)
        # Only now: a push that failed leaves the document to those who look for what was missed.
        self._missed.published(document.seq)
