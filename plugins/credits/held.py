"""What pending holds reserve, summed up by asset, for the metrics."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, NamedTuple

from domain.ledger.account import AccountState

ACCOUNTS_MAX: Final = 100_000
"""Accounts with pending holds that are summed up; past this the oldest are left out."""
SWEEP_MS: Final = 10_000


class _Held(NamedTuple):
    asset: str
    amount: int
    until_ms: int
    """When the last of the account's holds has ended, whoever was to end it."""


class HeldTotals:
    """The last this process saw of each account with holds.

    The ledger keeps no such sum, and no index to make one from. An account that another process changed
    since is found out when this one changes it, or when its holds have expired.
    """

    def __init__(self) -> None:
        self._accounts: OrderedDict[tuple[str, str], _Held] = OrderedDict()
        self._sums: dict[str, int] = {}
        self._swept_ms = 0

    def see(self, book: str, state: AccountState) -> bool:
        """Takes the account as a document left it; False when it had no holds before nor has any now."""
        name = (book, state.account.key)
        if not state.held and name not in self._accounts:
            return False
        self._forget(name)
        if state.held:
            until_ms = max((hold.expires_ms for hold in state.holdings.holds), default=0)
            self._accounts[name] = _Held(state.account.asset, state.held, until_ms)
            self._add(state.account.asset, state.held)
            if len(self._accounts) > ACCOUNTS_MAX:
                self._forget(next(iter(self._accounts)))
        return True

    def sweep(self, now_ms: int) -> set[str]:
        """Leaves out what has expired; the assets whose sums changed. Does nothing most of the time."""
        if now_ms - self._swept_ms < SWEEP_MS:
            return set()
        self._swept_ms = now_ms
        over = [(name, held.asset) for name, held in self._accounts.items() if held.until_ms <= now_ms]
        for name, _ in over:
            self._forget(name)
        return {asset for _, asset in over}

    def of(self, asset: str) -> int:
        return self._sums.get(asset, 0)

    def _forget(self, name: tuple[str, str]) -> None:
        held = self._accounts.pop(name, None)
        if held is not None:
            self._add(held.asset, -held.amount)

    def _add(self, asset: str, amount: int) -> None:
        self._sums[asset] = self._sums.get(asset, 0) + amount
