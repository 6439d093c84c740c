"""Every answer and every balance is the one of a ledger written naively, whatever is asked and when."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from tests.domain.ledger.audit import Audit
from tests.domain.ledger.strategies import Batch, plan_of, plans
from tests.seeds import examples, seeds

SEEDS = seeds(20)


@given(plans())
@settings(max_examples=examples(30), deadline=None)
def test_every_answer_and_balance_is_the_one_of_the_naive_ledger(plan: list[Batch]) -> None:
    Audit().follow(plan)


@pytest.mark.parametrize("seed", SEEDS)
def test_also_in_a_long_life(seed: int) -> None:
    Audit().follow(plan_of(seed))
