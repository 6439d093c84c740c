"""What is true of a ledger after every batch, whatever was asked of it."""

from __future__ import annotations

from collections import Counter

from domain.ledger.account import NOTHING, AccountState, holdings_of
from tests.domain.ledger.play import Play


def check_every_invariant(ledger: Play) -> None:
    sums: Counter[str] = Counter()
    for state in ledger.accounts.values():
        sums[state.account.asset] += state.posted
        check_account(state)
    assert not any(sums.values()), "per asset the sum over all accounts is zero"


def check_account(state: AccountState) -> None:
    account, posted, held, _, _, holdings = state
    lots, holds, scheduled, rules, _ = holdings
    assert state.available == posted - held
    assert held == sum(hold.remaining for hold in holds)
    reserved: Counter[str] = Counter()
    for hold in holds:
        assert hold.remaining > 0
        assert sum(part for _, part in hold.funding) <= hold.remaining
        for grant, part in hold.funding:
            assert part > 0
            reserved[grant] += part
    assert {lot.grant: lot.held for lot in lots if lot.held} == reserved
    for lot in lots:
        assert 0 <= lot.held <= lot.remaining
        assert lot.remaining > 0
        if lot.ended:
            assert lot.remaining == lot.held, "of an ended grant only its holds' part is left"
    assert list(lots) == sorted(lots, key=lambda lot: lot.burn_order)
    assert len({lot.grant for lot in lots}) == len(lots)
    if account.overdraft_limit is not None:
        assert state.available >= -account.overdraft_limit
        assert state.plain_free >= -account.overdraft_limit
    assert holdings == holdings_of(lots, holds, scheduled, rules)
    if not (lots or holds or scheduled or rules):
        assert holdings is NOTHING, "the fast path knows an account of which there is no more by this"
