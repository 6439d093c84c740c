"""What pending holds reserve, summed up by asset, for the metrics.

A census finds it in all accounts, a moment late; this process knows at once what it changed itself.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Final, NamedTuple

from credit_system import AccountState

ACCOUNTS_MAX: Final = 100_000
"""Accounts with pending holds that are summed up; past this the oldest are left out."""
SWEEP_MS: Final = 10_000
ROUNDS_UNSETTLED_MAX: Final = 5


class _Held(NamedTuple):
    asset: str
    amount: int
    until_ms: int
    """When the last of the account's holds has ended, by whichever worker."""


class HeldTotals:
    """The last this process saw of each account with holds, and what the last census found beyond that."""

    def __init__(self) -> None:
        self._accounts: OrderedDict[tuple[str, str], _Held] = OrderedDict()
        self._sums: dict[str, int] = {}
        self._beyond: dict[str, int] = {}
        self._changes: dict[str, int] = {}
        self._unsettled: dict[str, int] = {}
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

    def mark(self) -> Mapping[str, int]:
        """How often each asset's sum has changed, for `settle`."""
        return self._changes.copy()

    def settle(self, asset: str, held: int, mark: Mapping[str, int]) -> None:
        """Takes what a census found that began well after `mark`.

        A census cannot tell whether it saw what changed meanwhile, so the next one is waited for, a few
        times: where holds come and go without a pause, being off by one moment's is the best there is.
        """
        skipped = self._unsettled.get(asset, 0)
        if self._changes.get(asset, 0) != mark.get(asset, 0) and skipped < ROUNDS_UNSETTLED_MAX:
            self._unsettled[asset] = skipped + 1
            return
        self._unsettled[asset] = 0
        self._beyond[asset] = held - self._sums.get(asset, 0)

    def of(self, asset: str) -> int:
        return max(0, self._sums.get(asset, 0) + self._beyond.get(asset, 0))

    def _forget(self, name: tuple[str, str]) -> None:
        held = self._accounts.pop(name, None)
        if held is not None:
            self._add(held.asset, -held.amount)

    def _add(self, asset: str, amount: int) -> None:
        self._sums[asset] = self._sums.get(asset, 0) + amount
        self._changes[asset] = self._changes.get(asset, 0) + 1
