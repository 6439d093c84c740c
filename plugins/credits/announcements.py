"""Tells the owners of accounts what became of their balances."""

from __future__ import annotations

from application.ledger.committed import CommittedBatch
from application.realtime import Realtime
from domain.ledger.account import AccountState, account_key
from domain.ledger.entries import TransferPosted
from domain.realtime.messages import BalancePush


class BalanceAnnouncements:
    def __init__(self, realtime: Realtime) -> None:
        self._realtime = realtime

    async def committed(self, payload: object) -> None:
        """Hook `ledger.committed`: one push a change, in the order in which they happened."""
        if not isinstance(payload, CommittedBatch):
            return
        for entry in payload.document.entries:
            if isinstance(entry, TransferPosted):
                await self._tell(payload, entry.source, entry.asset, entry.source_posted)
                await self._tell(payload, entry.destination, entry.asset, entry.destination_posted)

    async def _tell(self, batch: CommittedBatch, account_id: str, asset: str, posted: int) -> None:
        state: AccountState = batch.states[account_key(account_id, asset)]
        owner = state.account.user_id
        if owner is not None:
            push = BalancePush(account_id, posted, state.held, posted - state.held, batch.document.seq)
            await self._realtime.publish_to_user(owner, push)
