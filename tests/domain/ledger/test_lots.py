"""Which lots pay for a spend, and what is left of them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.ledger.lots import PROMOTIONAL, Lot, burnt, funded, moved


@st.composite
def lots(draw: st.DrawFn) -> tuple[Lot, ...]:
    """In burn-down order, with something left of each; some hold all that they have, some have ended."""
    made = []
    for place in range(draw(st.integers(0, 4))):
        remaining = draw(st.integers(1, 20))
        held = draw(st.integers(0, remaining))
        category = draw(st.sampled_from((PROMOTIONAL, "paid")))
        ended = "expired" if held and draw(st.booleans()) else ""
        made.append(Lot(f"gr-{place}", remaining, held, place, category, None, 1, place, ended))
    return tuple(made)


@given(lots(), st.integers(0, 60), st.booleans())
def test_lots_pay_in_order_what_no_hold_has_reserved(
    held: tuple[Lot, ...], amount: int, transferable: bool
) -> None:
    paid = dict(funded(held, amount, transferable=transferable))
    for lot in held:
        may_pay = 0 if transferable and lot.category == PROMOTIONAL else lot.free
        part = min(may_pay, amount)
        assert paid.get(lot.grant, 0) == part
        assert (lot.grant in paid) == (part > 0), "a part of nothing is none"
        amount -= part


@given(lots(), st.integers(0, 60))
def test_what_is_burnt_is_what_was_paid_however_few_lots_paid_it(held: tuple[Lot, ...], amount: int) -> None:
    funding = funded(held, amount)
    assert burnt(held, funding) == moved(held, funding, remaining=-1)


@given(lots(), st.lists(st.tuples(st.sampled_from(("gr-0", "gr-1", "gr-9")), st.integers(1, 30)), max_size=3))
def test_a_journal_that_lies_about_who_paid_is_folded_the_same_in_every_shape(
    held: tuple[Lot, ...], funding: list[tuple[str, int]]
) -> None:
    assert burnt(held, tuple(funding)) == moved(held, tuple(funding), remaining=-1)
