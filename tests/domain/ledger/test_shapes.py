"""The table of field types says what the classes' annotations say."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

import pytest

from domain.ledger import shapes
from domain.ledger.account import Account
from domain.ledger.entries import Cause, Entry
from domain.ledger.lots import Funding, GrantTerms, Lot

CHECKS: dict[Any, object] = {
    str: shapes._text,
    int: shapes._number,
    bool: shapes._flag,
    str | None: shapes._text_or_none,
    int | None: shapes._number_or_none,
    tuple[str, ...]: shapes._texts,
    Funding: shapes._funding,
    Account: shapes._account,
    GrantTerms: shapes._terms,
    tuple[Lot, ...]: shapes._lots,
    Cause | None: shapes._cause,
}


def test_every_entry_and_every_part_of_one_is_in_the_table() -> None:
    assert set(shapes.FIELDS) == {*get_args(Entry), *get_args(Cause), Account, GrantTerms, Lot}


@pytest.mark.parametrize("kind", list(shapes.FIELDS), ids=lambda kind: kind.__name__)
def test_each_field_is_checked_for_its_type(kind: Any) -> None:
    hints = get_type_hints(kind)
    assert shapes.FIELDS[kind] == tuple(CHECKS[hints[name]] for name in kind._fields)
