"""What the rest of the service may ask of the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, NamedTuple

from application.ledger.announcer import Announce, Announcer
from application.ledger.book import Book
from application.ledger.book_ports import BookPorts
from application.ledger.books import Books
from application.ledger.census import Census, CensusTaker
from application.ledger.due import DueTicker
from application.ledger.history import AccountEntry, EntryPosition, History, PastState
from application.ledger.labels import Label, Labels
from application.ledger.orders import (
    ATOMIC,
    TRANSFERS,
    AccountOrder,
    Caller,
    GrantOrder,
    HoldOrder,
    Orders,
    RuleOrder,
    TransferOrder,
    is_another_batch,
)
from application.ledger.reservation import Reservation, reserved
from application.ledger.verification import Verification, verify
from domain.ledger.account import REVENUE, AccountState, TopUpRule, account_key, is_system
from domain.ledger.chain import Head
from domain.ledger.commands import (
    HOLD_EXPIRES_MS,
    Command,
    PostTransfer,
    Submission,
    grant_key,
    hold_key,
    rule_key,
    transfer_key,
)
from domain.ledger.entries import (
    AccountOpened,
    Entry,
    Recorded,
    RuleRemoved,
    RuleSet,
    RuleSkipped,
    TransferPosted,
)
from domain.ledger.lots import Lot
from domain.ledger.machine import effective
from domain.ledger.outcomes import Outcome, Rejected, Rejection, asked
from domain.ledger.replay import rule_of
from domain.ledger.subjects import (
    ACTIVE,
    EXPIRED_STATUS,
    PENDING,
    RULES,
    GrantState,
    HoldState,
    TransferState,
    subject_of_user,
)

ACCOUNTS_OF_A_USER_MAX: Final = 1_000
RULES_OF_A_BOOK_MAX: Final = 10_000
DOCUMENTS_A_READ_MAX: Final = 64
DOCUMENTS_MOVED_MAX: Final = 1_000
ACCOUNTS_MOVED_MAX: Final = 2_048
DOCUMENTS_NAMED_MAX: Final = 16
"""Each may name some 16,000 accounts."""
COMMANDS_A_PART: Final = 32
"""Of a batch that is not atomic."""


@dataclass(frozen=True, slots=True)
class GrantView:
    """A grant as it stands now: `lot` is what is left of it, None when nothing is."""

    grant: GrantState
    lot: Lot | None
    status: str


class Trial(NamedTuple):
    """What would come of a command now: its outcome, all that would be recorded with it, such as what fell
    due in its accounts and what their top-up rules grant, and the accounts that this changes, by key."""

    outcome: Outcome
    entries: tuple[Entry, ...]
    states: Mapping[str, AccountState]


class Ledger:
    """All books of this process. Opens each when it is first asked for."""

    def __init__(self, ports: BookPorts, *, accounts_max: int, announce: Announce) -> None:
        self._ports = ports
        self._announcer = Announcer(ports.runtime, announce)
        self._books = Books(ports, accounts_max=accounts_max, committed=self._announcer.add)
        self._orders = Orders(ports.clock, ports.entropy)
        self._labels = Labels(ports.journal)
        self._census = CensusTaker(ports.journal, ports.checkpoints)
        self._ticker = DueTicker(ports.runtime, ports.clock, ports.checkpoints, self._books)

    def start(self) -> None:
        """Begins to record what falls due by itself."""
        self._ticker.start()

    async def stop(self) -> None:
        """Lets other workers of this host hold the books, announces what was committed, within a bound, and
        writes what checkpoints are due."""
        await self._ticker.stop()
        await self._books.let_go()
        await self._announcer.stop()
        await self._books.stop()

    @property
    def announcements_dropped(self) -> int:
        """Entries that were committed and never announced, because too many waited."""
        return self._announcer.dropped

    def now_ms(self) -> int:
        """The ledger's time, in milliseconds since 1970, UTC."""
        return self._ports.clock.now_ms()

    # --- writes: each gives `Posted`, with the entry that was recorded, or `Rejected`

    async def open_account(self, caller: Caller, order: AccountOrder) -> Outcome:
        """Posted is an `AccountOpened`. Every write raises `DependencyUnavailable` and `Overloaded`."""
        return await self._execute(caller, self._orders.open_account(caller, order))

    async def grant(self, caller: Caller, order: GrantOrder) -> Outcome:
        """Posted is a `TransferPosted` caused by an `Issue`, or a `GrantScheduled`."""
        return await self._execute(caller, self._orders.grant(caller, order))

    async def void_grant(self, caller: Caller, grant_id: str) -> Outcome:
        """Posted is a `TransferPosted` caused by a `Lapse`, or a `GrantEnded`."""
        return await self._execute(caller, self._orders.void_grant(caller, grant_id))

    async def transfer(self, caller: Caller, order: TransferOrder) -> Outcome:
        """Posted is a `TransferPosted`."""
        return await self._execute(caller, self._orders.transfer(caller, order))

    async def try_transfer(self, caller: Caller, order: TransferOrder) -> Trial:
        """What would come of the transfer now; records nothing."""
        book = await self._books.get(caller.book)
        decision = await book.try_out(Submission((self._orders.transfer(caller, order),)))
        ((outcome,),) = decision.outcomes
        return Trial(asked(outcome), decision.entries, decision.changed)

    async def transfer_batch(
        self, caller: Caller, orders: Sequence[TransferOrder], *, atomic: bool
    ) -> list[Outcome]:
        """One outcome an order, in order; an atomic batch posts all of them or none.

        Where the key was used with another batch, each is `Rejected` with the field `TRANSFERS` or `ATOMIC`.
        """
        if not orders:
            return []
        commands = self._orders.batch(caller, orders, atomic=atomic)
        if caller.idempotency_key is None:
            return await self._post_batch(caller.book, commands, atomic=atomic)

        async def conflict() -> Rejected | None:
            keys = [command.keys[1] for command in commands]
            recorded = await self._ports.journal.recorded(caller.book, keys)
            if not is_another_batch(commands, recorded):
                return None
            other = self._orders.batch(caller, orders, atomic=not atomic)
            field = TRANSFERS if is_another_batch(other, recorded) else ATOMIC
            return Rejected(Rejection.IDEMPOTENCY_CONFLICT, field=field)

        # None of such a batch is taken, not even what goes beyond the other.
        refused = await conflict()
        if refused is None:
            outcomes = await self._post_batch(caller.book, commands, atomic=atomic)
            if not all(map(_is_conflict, outcomes)):
                return outcomes
            # Two of one key that came at once, or only ids that other requests have used.
            refused = await conflict()
            if refused is None:
                return outcomes
        return [refused] * len(commands)

    async def _post_batch(
        self, book_name: str, commands: tuple[PostTransfer, ...], *, atomic: bool
    ) -> list[Outcome]:
        book = await self._books.get(book_name)
        if atomic:
            (outcomes,) = await book.submit([Submission(commands, atomic=True)])
            return list(map(asked, outcomes))
        # Several at once cost less to carry; few enough that a batch is still cut where it must be.
        parts = [
            Submission(commands[start : start + COMMANDS_A_PART])
            for start in range(0, len(commands), COMMANDS_A_PART)
        ]
        results = await book.submit(parts)
        return [asked(outcome) for outcomes in results for outcome in outcomes]

    async def reverse(
        self,
        caller: Caller,
        transfer_id: str,
        amount: int | None = None,
        metadata: str = "",
        *,
        effective_ms: int | None = None,
    ) -> Outcome:
        """Posted is a `TransferPosted` caused by a `Reversal`, which says what became of the grants. It
        counts from now, or from `effective_ms`: not before the transfer's own moment."""
        command = self._orders.reverse(caller, transfer_id, amount, metadata, effective_ms)
        return await self._execute(caller, command)

    async def hold(self, caller: Caller, order: HoldOrder) -> Outcome:
        """Posted is a `HoldPlaced`."""
        return await self._execute(caller, self._orders.hold(caller, order))

    async def capture(
        self, caller: Caller, hold_id: str, amount: int | None = None, *, final: bool = True
    ) -> Outcome:
        """Posted is a `TransferPosted` caused by a `Capture`."""
        return await self._execute(caller, self._orders.capture(caller, hold_id, amount, final=final))

    async def void_hold(self, caller: Caller, hold_id: str) -> Outcome:
        """Posted is a `HoldReleased`."""
        return await self._execute(caller, self._orders.void_hold(caller, hold_id))

    def reserve(
        self,
        caller: Caller,
        account: str,
        *,
        up_to: int,
        code: str = "reserve",
        destination: str = REVENUE,
        expires_in_ms: int = HOLD_EXPIRES_MS,
    ) -> AbstractAsyncContextManager[Reservation]:
        """`async with ledger.reserve(…) as r:` holds `up_to`, `await r.settle(used)` pays; left without
        that, by an error or a cancellation too, the hold is voided. Raises `Refused`."""
        order = HoldOrder(account, up_to, code, destination, expires_in_ms)
        return reserved(self, self._ports.runtime, caller, order)

    async def set_rule(self, caller: Caller, order: RuleOrder) -> Outcome:
        """Posted is a `RuleSet`."""
        return await self._execute(caller, self._orders.set_rule(caller, order))

    async def rule_as_set(self, book_name: str, recorded: Recorded) -> TopUpRule:
        """The rule as the document left it that set it: it acted in there if it could."""
        entry = recorded.entry
        assert isinstance(entry, RuleSet)  # noqa: S101 - a rule's key leads to rules only
        document = await self._ports.journal.at(book_name, recorded.seq)
        for each in () if document is None else document.entries:
            if isinstance(each, RuleSkipped) and each.rule == entry.id:
                return rule_of(entry)._replace(skipped=each.reason, skipped_ms=recorded.time_ms)
        return rule_of(entry)

    async def remove_rule(self, caller: Caller, rule_id: str) -> Outcome:
        """Posted is a `RuleRemoved`."""
        key = rule_key(rule_id)
        recorded = (await self._ports.journal.recorded(caller.book, [key])).get(key)
        if recorded is None or not isinstance(recorded.entry, RuleSet):
            return Rejected(Rejection.NOT_FOUND)
        return await self._execute(caller, self._orders.remove_rule(caller, rule_id, recorded.entry.account))

    async def _execute(self, caller: Caller, command: Command) -> Outcome:
        book = await self._books.get(caller.book)
        ((outcome,),) = await book.submit([Submission((command,))])
        return asked(outcome)

    # --- reads: `fresh` sees every write acknowledged by any worker before the call; without it the
    # answer may be behind, and costs no look at the journal

    async def account(
        self, book_name: str, account_id: str, *, asset: str | None = None, fresh: bool = True
    ) -> AccountState | None:
        """The account as it stands now; system accounts are told apart by `asset`."""
        book = await self._book(book_name, fresh=fresh)
        (state,) = await book.accounts((account_key(account_id, asset or ""),))
        return None if state is None else effective(state, self.now_ms()).state

    async def account_at(
        self, book_name: str, state: AccountState, time_ms: int, *, by_effect: bool
    ) -> PastState | None:
        """The account as it was at the end of a millisecond; None when it was not open yet."""
        return await (await self._history(book_name)).at(state, time_ms, by_effect=by_effect)

    async def entries(
        self, book_name: str, state: AccountState, *, limit: int, before: EntryPosition | None
    ) -> tuple[list[AccountEntry], EntryPosition | None]:
        """An account's transfers, newest first, and where the next page begins if there is one."""
        return await (await self._history(book_name)).entries(state, limit=limit, before=before)

    async def recorded_transfer(self, book_name: str, transfer_id: str) -> Recorded | None:
        """The transfer of this id, once a majority holds it."""
        key = transfer_key(transfer_id)
        recorded = (await self._ports.journal.recorded(book_name, [key])).get(key)
        return recorded if recorded is not None and isinstance(recorded.entry, TransferPosted) else None

    async def transfer_state(self, book_name: str, transfer_id: str) -> TransferState | None:
        """The transfer, and what of it has not been reversed."""
        book = await self._book(book_name)
        (state,) = await book.subjects((transfer_key(transfer_id),))
        return state if isinstance(state, TransferState) else None

    async def hold_state(self, book_name: str, hold_id: str, *, fresh: bool = True) -> HoldState | None:
        """The hold as it stands now."""
        book = await self._book(book_name, fresh=fresh)
        (state,) = await book.subjects((hold_key(hold_id),))
        if not isinstance(state, HoldState):
            return None
        is_over = state.status == PENDING and state.placed.expires_ms <= self.now_ms()
        return state._replace(status=EXPIRED_STATUS) if is_over else state

    async def grants(self, book_name: str, grant_ids: Sequence[str]) -> dict[str, GrantState]:
        """Those of the grants that exist, by id, looked up together."""
        book = await self._book(book_name)
        found = await book.subjects([grant_key(grant_id) for grant_id in grant_ids])
        return {grant.id: grant for grant in found if isinstance(grant, GrantState)}

    async def labels_of_grants(self, book_name: str, grant_ids: Iterable[str]) -> dict[str, Label]:
        """The code and metadata of each of these grants, by its id."""
        keys = {transfer_key(grant_id): grant_id for grant_id in grant_ids}
        return {keys[key]: label for key, label in (await self._labels.of(book_name, keys)).items()}

    async def labels_of_holds(self, book_name: str, hold_ids: Iterable[str]) -> dict[str, Label]:
        """The code and metadata of each of these holds, by its id."""
        keys = {hold_key(hold_id): hold_id for hold_id in hold_ids}
        return {keys[key]: label for key, label in (await self._labels.of(book_name, keys)).items()}

    async def grant_state(self, book_name: str, grant_id: str) -> GrantView | None:
        """The grant as it stands now, and what is left of it."""
        book = await self._book(book_name)
        (grant,) = await book.subjects((grant_key(grant_id),))
        if not isinstance(grant, GrantState):
            return None
        (state,) = await book.accounts((grant.account,))
        if state is None:
            return None
        now_ms = self.now_ms()
        state = effective(state, now_ms).state
        lot = next((lot for lot in state.holdings.lots if lot.grant == grant.id), None)
        is_scheduled = any(each.id == grant.id for each in state.holdings.scheduled)
        return GrantView(grant, lot, _status_of(grant, lot, is_scheduled=is_scheduled, now_ms=now_ms))

    async def accounts_of(self, book_name: str, user_id: str) -> list[AccountState]:
        """A user's accounts, oldest first, at most `ACCOUNTS_OF_A_USER_MAX`."""
        book = await self._book(book_name)
        keys: list[str] = []
        after = 0
        while len(keys) < ACCOUNTS_OF_A_USER_MAX:
            documents = await self._ports.journal.touching(
                book_name, {subject_of_user(user_id): after}, limit=DOCUMENTS_A_READ_MAX
            )
            keys += [
                entry.account.key
                for document in documents
                for entry in document.entries
                if isinstance(entry, AccountOpened) and entry.account.user_id == user_id
            ]
            if len(documents) < DOCUMENTS_A_READ_MAX:
                break
            after = documents[-1].seq
        states = await book.accounts(keys[:ACCOUNTS_OF_A_USER_MAX])
        return [effective(state, self.now_ms()).state for state in states if state is not None]

    async def rules(self, book_name: str) -> list[tuple[str, TopUpRule]]:
        """The book's top-up rules as they were set, each with its account, oldest first, at most
        `RULES_OF_A_BOOK_MAX`."""
        rules: dict[str, tuple[str, TopUpRule]] = {}
        after = 0
        while len(rules) < RULES_OF_A_BOOK_MAX:
            documents = await self._ports.journal.touching(
                book_name, {RULES: after}, limit=DOCUMENTS_A_READ_MAX
            )
            for entry in (entry for document in documents for entry in document.entries):
                if isinstance(entry, RuleSet):
                    rules[entry.id] = entry.account, rule_of(entry)
                elif isinstance(entry, RuleRemoved):
                    rules.pop(entry.id, None)
            if len(documents) < DOCUMENTS_A_READ_MAX:
                break
            after = documents[-1].seq
        return list(rules.values())

    async def standing_rules(
        self, book_name: str, rules: Sequence[tuple[str, TopUpRule]]
    ) -> list[tuple[str, TopUpRule]]:
        """These rules as their accounts know them, with what became of them last."""
        book = await self._books.get(book_name)
        accounts = list(dict.fromkeys(account for account, _ in rules))
        states = [state for state in await book.accounts(accounts) if state is not None]
        standing = {rule.id: rule for state in states for rule in state.holdings.rules}
        return [(account, standing.get(rule.id, rule)) for account, rule in rules]

    async def check_books(self) -> None:
        """Raises `UnreadableBook` while a book that was asked for cannot be read by this release."""
        await self._books.check()

    async def last_seq(self, book_name: str) -> int:
        """The number of the book's newest document, 0 when it is empty: one cheap read."""
        return await self._ports.journal.last_seq(book_name)

    async def moved(self, book_name: str, spans: Sequence[tuple[int, int]]) -> list[AccountState] | None:
        """The accounts that documents of these numbers name, as they stand now, the system's left out. None
        for more documents than `DOCUMENTS_MOVED_MAX` or more accounts than `ACCOUNTS_MOVED_MAX`."""
        if sum(last - first + 1 for first, last in spans) > DOCUMENTS_MOVED_MAX:
            return None
        keys: dict[str, None] = {}
        for first, last in spans:
            begin = first
            while begin <= last:
                found = await self._ports.journal.named(book_name, begin, last, limit=DOCUMENTS_NAMED_MAX)
                for document in found:
                    keys |= dict.fromkeys(account_keys_among(document.subjects))
                if len(keys) > ACCOUNTS_MOVED_MAX:
                    return None
                begin = found[-1].seq + 1 if found else last + 1
        book = await self._book(book_name)
        now_ms, states = self.now_ms(), await book.accounts(list(keys))
        return [effective(state, now_ms).state for state in states if state is not None]

    async def head(self, book_name: str) -> Head:
        """The last journal document of the book: number, digest and time."""
        return (await self._book(book_name)).head

    async def verify(self, book_name: str) -> Verification:
        """Reads the whole book and proves it, in bounded memory; see `verification.verify`."""
        ports = self._ports
        return await verify(ports.journal, ports.checkpoints, book_name, runtime=ports.runtime)

    async def take_census(self, bounds: Sequence[int]) -> Census:
        """How all accounts stand, and the next part of comparing their checkpoints with the journal."""
        return await self._census.take([book.name for book in self._books.opened], bounds)

    async def _book(self, name: str, *, fresh: bool = True) -> Book:
        book = await self._books.get(name)
        if fresh:
            await book.fresh()
        return book

    async def _history(self, name: str) -> History:
        book = await self._books.get(name)
        return History(book, self._ports.journal, self._ports.checkpoints)


def _is_conflict(outcome: Outcome) -> bool:
    """Whether it was refused now, and not by an earlier request, for an id or a key that was used before."""
    return (
        isinstance(outcome, Rejected)
        and outcome.reason is Rejection.IDEMPOTENCY_CONFLICT
        and not outcome.replayed
    )


def account_keys_among(subjects: Iterable[str]) -> list[str]:
    """Those of accounts that are not the system's."""
    return [subject[2:] for subject in subjects if subject.startswith("a:") and not is_system(subject[2:])]


def _status_of(grant: GrantState, lot: Lot | None, *, is_scheduled: bool, now_ms: int) -> str:
    """pending, active, expired, voided or spent: what the account holds decides, the journal may lag."""
    if is_scheduled:
        return PENDING
    if lot is not None:
        return lot.ended or ACTIVE
    expires_ms = grant.terms.expires_ms
    if grant.status in (PENDING, ACTIVE):
        return EXPIRED_STATUS if expires_ms is not None and expires_ms <= now_ms else "spent"
    return grant.status
