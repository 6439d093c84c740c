"""A request under a key or an id that was used for another one is told which field differs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

import pytest

from adapters.memory.ledger.journal import MemoryJournal
from application.ledger.orders import (
    ATOMIC,
    TRANSFERS,
    AccountOrder,
    Caller,
    GrantOrder,
    HoldOrder,
    RuleOrder,
    TransferOrder,
)
from application.ledger.service import Ledger
from domain.ledger.outcomes import Outcome, Posted, Rejected, Rejection
from tests.application.ledger.first_format import BOOK, LEDGER_TIME_MS, by, served

NOW_MS = LEDGER_TIME_MS
Ask = Callable[[Ledger], Awaitable[Outcome]]


@dataclass(frozen=True)
class Made:
    """What is there before anything is asked twice."""

    spent: str
    hold: str
    other_hold: str
    grant: str
    other_grant: str


async def furnished(ledger: Ledger) -> Made:
    async def id_of(work: Awaitable[Outcome]) -> str:
        outcome = await work
        assert isinstance(outcome, Posted), outcome
        made: str = getattr(outcome.recorded.entry, "id")  # noqa: B009 - each of these entries has one
        return made

    for name in ("alice", "bob"):
        await ledger.open_account(Caller(BOOK, "test"), AccountOrder("GEMS", name))
    await ledger.grant(Caller(BOOK, "test"), GrantOrder("alice", 10_000, "paid", 50, "grant"))
    again = Caller(BOOK, "test")
    return Made(
        await id_of(ledger.transfer(again, TransferOrder("alice", "bob", 100, "gift"))),
        await id_of(ledger.hold(again, HoldOrder("alice", 50, "job"))),
        await id_of(ledger.hold(again, HoldOrder("alice", 50, "job"))),
        await id_of(ledger.grant(again, GrantOrder("alice", 10, "paid", 50, "grant"))),
        await id_of(ledger.grant(again, GrantOrder("alice", 10, "paid", 50, "grant"))),
    )


def told(first: Callable[[Made], Ask], second: Callable[[Made], Ask]) -> Rejected:
    """What the second request is answered."""

    async def body(ledger: Ledger) -> list[Outcome]:
        made = await furnished(ledger)
        return [await first(made)(ledger), await second(made)(ledger), await first(made)(ledger)]

    posted, refused, repeated = served(MemoryJournal(), body)
    assert isinstance(posted, Posted), posted
    assert (isinstance(repeated, Posted), repeated.replayed) == (True, True)
    assert isinstance(refused, Rejected), refused
    return refused


TRANSFER = TransferOrder("alice", "bob", 5, "gift")
GRANT = GrantOrder("alice", 5, "paid", 50, "grant")
LATER = replace(GRANT, effective_ms=NOW_MS * 2, expires_ms=NOW_MS * 3)
HOLD = HoldOrder("alice", 5, "job")
RULE = RuleOrder("bob", 10, 5, "paid", 3)
ACCOUNT = AccountOrder("GEMS")

Order = TransferOrder | GrantOrder | HoldOrder | RuleOrder | AccountOrder


def asked(order: Order) -> Ask:
    match order:
        case TransferOrder():
            return lambda ledger: ledger.transfer(by("k"), order)
        case GrantOrder():
            return lambda ledger: ledger.grant(by("k"), order)
        case HoldOrder():
            return lambda ledger: ledger.hold(by("k"), order)
        case RuleOrder():
            return lambda ledger: ledger.set_rule(by("k"), order)
        case AccountOrder():
            return lambda ledger: ledger.open_account(by("k"), order)


DIFFERING: list[tuple[Order, str, object]] = [
    (TRANSFER, "source", "carol"),
    (TRANSFER, "destination", "@revenue"),
    (TRANSFER, "amount", 6),
    (TRANSFER, "code", "other"),
    (TRANSFER, "metadata", "{}"),
    (TRANSFER, "effective_ms", 1),
    (TRANSFER, "id", "mine"),
    (replace(TRANSFER, id="mine"), "id", None),
    (replace(TRANSFER, id="mine"), "id", "other"),
    *(
        (order, name, other)
        for order in (GRANT, LATER)
        for name, other in (
            ("account", "bob"),
            ("amount", 6),
            ("category", "promotional"),
            ("priority", 51),
            ("effective_ms", 1),
            ("expires_ms", NOW_MS * 4),
            ("code", "other"),
            ("metadata", "{}"),
        )
    ),
    (HOLD, "account", "carol"),
    (HOLD, "amount", 6),
    (HOLD, "destination", "bob"),
    (HOLD, "expires_in_ms", 7),
    (HOLD, "code", "other"),
    (HOLD, "metadata", "{}"),
    (RULE, "account", "alice"),
    (RULE, "below", 11),
    (RULE, "amount", 6),
    (RULE, "category", "promotional"),
    (RULE, "max_per_day", 4),
    (replace(RULE, amount=None, to=20), "to", 21),
    (ACCOUNT, "asset", "GOLD"),
    (ACCOUNT, "user_id", "usr_1"),
    (ACCOUNT, "overdraft_limit", 1),
    (ACCOUNT, "metadata", "{}"),
    (ACCOUNT, "low_balance", 1),
    (ACCOUNT, "id", "carol"),
]


@pytest.mark.parametrize(
    ("order", "field", "other"),
    DIFFERING,
    ids=lambda value: str(getattr(value, "__class__").__name__),  # noqa: B009
)
def test_a_key_that_was_used_with_another_field_names_it(order: Order, field: str, other: object) -> None:
    another: Order = replace(order, **{field: other})  # type: ignore[arg-type]
    refused = told(lambda _: asked(order), lambda _: asked(another))
    assert refused == Rejected(Rejection.IDEMPOTENCY_CONFLICT, field=field)


def test_an_id_that_was_used_with_another_field_names_it() -> None:
    order = replace(TRANSFER, id="mine")

    def transferred(order: TransferOrder) -> Ask:
        return lambda ledger: ledger.transfer(Caller(BOOK, "test"), order)

    refused = told(lambda _: transferred(order), lambda _: transferred(replace(order, amount=6)))
    assert refused == Rejected(Rejection.IDEMPOTENCY_CONFLICT, field="amount")


def test_an_id_of_something_else_is_what_differs() -> None:
    def transferred(made: Made) -> Ask:
        return lambda ledger: ledger.transfer(by("k"), replace(TRANSFER, id=made.grant))

    refused = told(lambda _: asked(TRANSFER), transferred)
    assert refused == Rejected(Rejection.IDEMPOTENCY_CONFLICT, field="id")


def test_an_account_opened_again_otherwise_names_the_field() -> None:
    account = replace(ACCOUNT, id="carol")

    def opened(order: AccountOrder) -> Ask:
        return lambda ledger: ledger.open_account(Caller(BOOK, "test"), order)

    refused = told(lambda _: opened(account), lambda _: opened(replace(account, user_id="usr_9")))
    assert refused == Rejected(Rejection.ACCOUNT_EXISTS, field="user_id")


def captured(amount: int | None, *, final: bool) -> Callable[[Made], Ask]:
    return lambda made: lambda ledger: ledger.capture(by("k"), made.hold, amount, final=final)


@pytest.mark.parametrize(
    ("first", "second", "field"),
    [
        (captured(20, final=False), captured(21, final=False), "amount"),
        (captured(20, final=False), captured(20, final=True), "final"),
        (captured(20, final=False), captured(None, final=True), "amount"),
        (captured(None, final=True), captured(20, final=True), "amount"),
        # Recorded alike: a capture of all that is left, which was final.
        (captured(None, final=True), captured(50, final=True), "amount"),
        (captured(50, final=True), captured(None, final=True), "amount"),
        (captured(None, final=True), captured(None, final=False), "final"),
        (captured(50, final=False), captured(50, final=True), "final"),
        (captured(50, final=False), captured(None, final=True), "amount"),
        (
            captured(20, final=True),
            lambda made: lambda ledger: ledger.capture(by("k"), made.other_hold, 20, final=True),
            "hold",
        ),
        (
            lambda made: lambda ledger: ledger.void_hold(by("k"), made.hold),
            lambda made: lambda ledger: ledger.void_hold(by("k"), made.other_hold),
            "hold",
        ),
        (
            lambda made: lambda ledger: ledger.void_grant(by("k"), made.grant),
            lambda made: lambda ledger: ledger.void_grant(by("k"), made.other_grant),
            "grant",
        ),
        (
            lambda made: lambda ledger: ledger.reverse(by("k"), made.spent, 10),
            lambda made: lambda ledger: ledger.reverse(by("k"), made.hold, 10),
            "of",
        ),
        (
            lambda made: lambda ledger: ledger.reverse(by("k"), made.spent, 10),
            lambda made: lambda ledger: ledger.reverse(by("k"), made.spent, 11),
            "amount",
        ),
        (
            lambda made: lambda ledger: ledger.reverse(by("k"), made.spent),
            lambda made: lambda ledger: ledger.reverse(by("k"), made.spent, 100),
            "amount",
        ),
        (
            lambda made: lambda ledger: ledger.reverse(by("k"), made.spent, 10),
            lambda made: lambda ledger: ledger.reverse(by("k"), made.spent, 10, "{}"),
            "metadata",
        ),
        (
            lambda made: lambda ledger: ledger.reverse(by("k"), made.spent, 10),
            lambda made: lambda ledger: ledger.reverse(by("k"), made.spent, 10, effective_ms=NOW_MS),
            "effective_ms",
        ),
    ],
)
def test_a_key_of_what_follows_names_the_field(
    first: Callable[[Made], Ask], second: Callable[[Made], Ask], field: str
) -> None:
    assert told(first, second) == Rejected(Rejection.IDEMPOTENCY_CONFLICT, field=field)


@pytest.mark.parametrize(
    ("orders", "atomic", "field"),
    [
        ([TRANSFER, TRANSFER], True, ATOMIC),
        ([TRANSFER], False, TRANSFERS),
        ([TRANSFER, replace(TRANSFER, amount=6)], False, TRANSFERS),
        ([TRANSFER] * 3, True, TRANSFERS),
    ],
)
def test_a_key_of_another_batch_is_told_whether_its_transfers_differ(
    orders: Sequence[TransferOrder], atomic: bool, field: str
) -> None:
    async def body(ledger: Ledger) -> list[Outcome]:
        await furnished(ledger)
        await ledger.transfer_batch(by("k"), [TRANSFER, TRANSFER], atomic=False)
        return await ledger.transfer_batch(by("k"), orders, atomic=atomic)

    refused = Rejected(Rejection.IDEMPOTENCY_CONFLICT, field=field)
    assert served(MemoryJournal(), body) == [refused] * len(orders)


@pytest.mark.parametrize("kind", [TransferOrder, HoldOrder])
def test_nothing_moves_from_an_account_to_itself(kind: type[TransferOrder | HoldOrder]) -> None:
    with pytest.raises(ValueError, match="from `alice` to itself"):
        replace(TRANSFER if kind is TransferOrder else HOLD, destination="alice")


def test_two_batches_of_one_key_that_come_at_once_are_not_mixed() -> None:
    async def body(ledger: Ledger) -> list[Outcome]:
        await furnished(ledger)
        found: list[list[Outcome]] = []

        async def send(amount: int) -> None:
            orders = [replace(TRANSFER, amount=amount)] * 2
            found.append(await ledger.transfer_batch(by("k"), orders, atomic=False))

        runtime = ledger._ports.runtime
        tasks = [runtime.start(lambda amount=amount: send(amount), name="send") for amount in (5, 6)]  # type: ignore[misc]
        for task in tasks:
            await task.wait()
        return [outcome for outcomes in found for outcome in outcomes]

    outcomes = served(MemoryJournal(), body)
    refused = [each for each in outcomes if isinstance(each, Rejected)]
    assert refused == [Rejected(Rejection.IDEMPOTENCY_CONFLICT, field=TRANSFERS)] * 2
