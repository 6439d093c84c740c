"""A census knows all accounts, and finds checkpoints that are not what the journal says."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from adapters.memory.ledger.journal import MemoryCheckpoints
from application.ledger.census import SAMPLED_A_ROUND, Census, CensusTaker
from domain.ledger.account import AccountState, is_system
from tests.application.ledger.forgery import LIVES, Lived, lived
from tests.simulation.ledger_world import BOOK
from tests.simulation.runtime.simulated_runtime import SimulatedRuntime

BOUNDS = (0, 100)
ROUNDS = 20
"""Enough to go through all accounts of a life."""


async def saved(life: Lived) -> list[AccountState]:
    found = await life.checkpoints.states_after(BOOK, "", limit=ROUNDS * SAMPLED_A_ROUND)
    assert len(found) < ROUNDS * SAMPLED_A_ROUND
    return [stored.state for stored in found if stored.state is not None]


async def rounds(life: Lived, states: Sequence[AccountState]) -> Census:
    checkpoints = MemoryCheckpoints()
    await checkpoints.save(BOOK, states)
    taker = CensusTaker(life.journal, checkpoints)
    return [await taker.take([BOOK], BOUNDS) for _ in range(ROUNDS)][-1]


@pytest.mark.parametrize("seed", range(LIVES))
def test_checkpoints_that_nobody_touched_do_not_drift(seed: int) -> None:
    async def main() -> None:
        life = lived(seed)
        assert (await rounds(life, await saved(life))).drift == 0

    SimulatedRuntime(seed).run(main)


@pytest.mark.parametrize("seed", range(LIVES))
def test_a_checkpoint_with_another_balance_than_the_journals_drifts_by_the_difference(seed: int) -> None:
    async def main() -> None:
        life = lived(seed)
        states = await saved(life)
        richer = [states[0]._replace(posted=states[0].posted + 7), *states[1:]]
        assert (await rounds(life, richer)).drift == 7

    SimulatedRuntime(seed).run(main)


def test_drift_ends_when_the_checkpoint_is_right_again() -> None:
    async def main() -> None:
        life = lived(1)
        states = await saved(life)
        checkpoints = MemoryCheckpoints()
        await checkpoints.save(BOOK, [states[0]._replace(posted=states[0].posted - 3, seq=states[0].seq - 1)])
        taker = CensusTaker(life.journal, checkpoints)
        wrong = await taker.take([BOOK], BOUNDS)
        await checkpoints.save(BOOK, states)
        later = [await taker.take([BOOK], BOUNDS) for _ in range(ROUNDS)]
        assert (wrong.drift > 0, later[-1].drift) == (True, 0)

    SimulatedRuntime(1).run(main)


def test_the_systems_own_accounts_are_not_counted() -> None:
    async def main() -> None:
        life = lived(1)
        states = await saved(life)
        census = await rounds(life, states)
        theirs = [state for state in states if not is_system(state.account.id)]
        assert len(theirs) < len(states)
        for each in census.assets:
            balances = [state.posted for state in theirs if state.account.asset == each.asset]
            within = tuple(sum(balance <= bound for balance in balances) for bound in BOUNDS)
            assert (each.within, each.accounts, each.posted) == (within, len(balances), sum(balances))

    SimulatedRuntime(1).run(main)
