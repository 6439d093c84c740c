"""What the rest of the service may ask of the ledger."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from application.ledger.announcer import Announce, Announcer
from application.ledger.book import Book, BookPorts
from domain.ids import time_ordered_id
from domain.ledger.account import ISSUANCE, Account, AccountState, account_key
from domain.ledger.chain import Head
from domain.ledger.commands import (
    Command,
    GrantTerms,
    OpenAccount,
    PostTransfer,
    Submission,
    opening_key,
    transfer_key,
)
from domain.ledger.entries import AccountOpened, Recorded, TransferPosted
from domain.ledger.outcomes import Outcome, Rejected
from ports.runtime import Task

BOOKS_MAX: Final = 1_024
"""Books that one process keeps open; those not used for longest are closed."""
DOCUMENTS_A_PAGE_MAX: Final = 64
ACCOUNTS_OF_A_USER_MAX: Final = 1_000
BATCH: Final = "batch"
"""The route that a batch's idempotency keys are scoped to."""


@dataclass(frozen=True, slots=True)
class Caller:
    """On whose behalf a command is given: the book, who answers for it, the key it may repeat under."""

    book: str
    actor: str
    idempotency_key: str | None = None


@dataclass(frozen=True, slots=True)
class AccountOrder:
    """An account to open; without `id` the ledger makes one. `metadata` is canonical JSON text."""

    asset: str
    id: str | None = None
    user_id: str | None = None
    overdraft_limit: int = 0
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class GrantOrder:
    """Credits to issue to an account, in minor units."""

    account: str
    amount: int
    category: str
    priority: int
    code: str
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class TransferOrder:
    """Credits to move; without `id` the ledger makes one."""

    source: str
    destination: str
    amount: int
    code: str
    id: str | None = None
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class Position:
    """Where an entry stands in its book: the document, and its index in there."""

    seq: int
    index: int


@dataclass(frozen=True, slots=True)
class AccountEntry:
    """One transfer as its account sees it: `amount` signed, `balance` the posted one after it."""

    position: Position
    recorded_ms: int
    transfer: TransferPosted
    amount: int
    balance: int
    counterparty: str


class Ledger:
    """All books of this process. Opens each when it is first asked for."""

    def __init__(self, ports: BookPorts, *, accounts_max: int, announce: Announce) -> None:
        self._ports = ports
        self._accounts_max = accounts_max
        self._announcer = Announcer(ports.runtime, announce)
        self._books: OrderedDict[str, Book] = OrderedDict()
        self._opening: dict[str, Task[Book]] = {}

    async def open_account(self, caller: Caller, order: AccountOrder) -> Outcome:
        """Posted (an `AccountOpened`) or `ACCOUNT_EXISTS`, `IDEMPOTENCY_CONFLICT`."""
        account_id = order.id or self._new_id("acc")
        account = Account(account_id, order.asset, order.user_id, order.overdraft_limit, order.metadata)
        keys, repeatable = self._keys(caller, "accounts", opening_key(account_id), order.id)
        fields = [order.id, order.asset, order.user_id, order.overdraft_limit, order.metadata]
        fingerprint = _fingerprint("account", fields)
        return await self._execute(caller, OpenAccount(account, keys, fingerprint, caller.actor, repeatable))

    async def grant(self, caller: Caller, order: GrantOrder) -> Outcome:
        """Posted (a `TransferPosted` with terms) or a rejection."""
        grant_id = self._new_id("gr")
        keys, repeatable = self._keys(caller, "grants", transfer_key(grant_id), None)
        fields = [
            order.account,
            order.amount,
            order.category,
            order.priority,
            order.code,
            order.metadata,
        ]
        command = PostTransfer(
            grant_id,
            ISSUANCE,
            order.account,
            order.amount,
            order.code,
            keys,
            _fingerprint("grant", fields),
            caller.actor,
            order.metadata,
            GrantTerms(order.category, order.priority),
            repeatable,
        )
        return await self._execute(caller, command)

    async def transfer(self, caller: Caller, order: TransferOrder) -> Outcome:
        """Posted (a `TransferPosted`) or a rejection."""
        return await self._execute(caller, self._transfer_command(caller, order, "transfers"))

    async def transfer_batch(
        self, caller: Caller, orders: Sequence[TransferOrder], *, atomic: bool
    ) -> list[Outcome]:
        """One outcome an order, in order; an atomic batch posts all of them or none."""
        commands = [self._transfer_command(caller, order, BATCH, index) for index, order in enumerate(orders)]
        if not commands:
            return []
        book = await self._book(caller.book)
        if atomic:
            (outcomes,) = await book.submit([Submission(tuple(commands), atomic=True)])
            return list(outcomes)
        results = await book.submit([Submission((command,)) for command in commands])
        return [outcome for outcomes in results for outcome in outcomes]

    def _transfer_command(
        self, caller: Caller, order: TransferOrder, route: str, index: int = 0
    ) -> PostTransfer:
        transfer_id = order.id or self._new_id("tr")
        keys, repeatable = self._keys(caller, route, transfer_key(transfer_id), order.id, index)
        fields = [
            order.id,
            order.source,
            order.destination,
            order.amount,
            order.code,
            order.metadata,
        ]
        return PostTransfer(
            transfer_id,
            order.source,
            order.destination,
            order.amount,
            order.code,
            keys,
            _fingerprint("transfer", fields),
            caller.actor,
            order.metadata,
            None,
            repeatable,
        )

    async def account(
        self, book_name: str, account_id: str, *, asset: str | None = None, fresh: bool = True
    ) -> AccountState | None:
        """The account's state; system accounts are told apart by `asset`.

        `fresh` sees every write acknowledged by any worker before the call; without it the answer
        may be behind, and costs no look at the journal.
        """
        book = await self._book(book_name)
        if fresh:
            await book.fresh()
        (state,) = await book.accounts((account_key(account_id, asset or ""),))
        return state

    async def entries(
        self, book_name: str, state: AccountState, *, limit: int, before: Position | None
    ) -> tuple[list[AccountEntry], Position | None]:
        """An account's entries, newest first, and where the next page begins if there is one."""
        key = state.account.key
        upto = before.seq if before else state.seq
        found: list[AccountEntry] = []
        while upto > 0:
            documents = await self._ports.journal.newest_touching(
                book_name, f"a:{key}", upto=upto, limit=DOCUMENTS_A_PAGE_MAX
            )
            for document in documents:
                for index in range(len(document.entries) - 1, -1, -1):
                    position = Position(document.seq, index)
                    if before is not None and (position.seq, index) >= (before.seq, before.index):
                        continue
                    recorded = Recorded(document.entries[index], document.seq, document.time_ms)
                    found.extend(_as_seen_by(key, recorded, position))
                    if len(found) > limit:
                        return found[:limit], found[limit - 1].position
            if len(documents) < DOCUMENTS_A_PAGE_MAX:
                break
            upto = documents[-1].seq - 1
        return found, None

    async def recorded_transfer(self, book_name: str, transfer_id: str) -> Recorded | None:
        """The transfer of this id, once a majority holds it."""
        key = transfer_key(transfer_id)
        return (await self._ports.journal.recorded(book_name, [key])).get(key)

    async def accounts_of(self, book_name: str, user_id: str) -> list[AccountState]:
        """A user's accounts, oldest first, at most `ACCOUNTS_OF_A_USER_MAX`."""
        book = await self._book(book_name)
        await book.fresh()
        keys: list[str] = []
        after = 0
        while len(keys) < ACCOUNTS_OF_A_USER_MAX:
            documents = await self._ports.journal.touching(
                book_name, {f"u:{user_id}": after}, limit=DOCUMENTS_A_PAGE_MAX
            )
            keys += [
                entry.account.key
                for document in documents
                for entry in document.entries
                if isinstance(entry, AccountOpened) and entry.account.user_id == user_id
            ]
            if len(documents) < DOCUMENTS_A_PAGE_MAX:
                break
            after = documents[-1].seq
        states = await book.accounts(keys[:ACCOUNTS_OF_A_USER_MAX])
        return [state for state in states if state is not None]

    async def head(self, book_name: str) -> Head:
        book = await self._book(book_name)
        await book.fresh()
        return book.head

    async def stop(self) -> None:
        """Announces what was committed, within a bound, and writes what checkpoints are due."""
        await self._announcer.stop()
        for book in tuple(self._books.values()):
            await book.stop()

    @property
    def announcements_dropped(self) -> int:
        """Entries that were committed and never announced, because too many waited."""
        return self._announcer.dropped

    async def _execute(self, caller: Caller, command: Command) -> Outcome:
        book = await self._book(caller.book)
        ((outcome,),) = await book.submit([Submission((command,))])
        return outcome

    async def _book(self, name: str) -> Book:
        book = self._books.get(name)
        if book is not None:
            self._books.move_to_end(name)
            return book
        opening = self._opening.get(name)
        if opening is None:
            # One for all who ask meanwhile: they share its failure too, instead of each trying in turn.
            opening = self._opening[name] = self._ports.runtime.start(
                partial(self._open_book, name), name="open a book"
            )
        return await opening.wait()

    async def _open_book(self, name: str) -> Book:
        try:
            book = Book(name, self._ports, accounts_max=self._accounts_max, committed=self._announcer.add)
            await book.start()
            self._books[name] = book
            await self._close_idle_books()
            return book
        finally:
            del self._opening[name]

    async def _close_idle_books(self) -> None:
        """Closes those not used for longest. Whoever still holds one may go on with it: the journal
        fences two writers of one book, whatever process they are in.
        """
        while len(self._books) > BOOKS_MAX:
            _, book = self._books.popitem(last=False)
            await book.stop()

    def _new_id(self, prefix: str) -> str:
        return time_ordered_id(prefix, self._ports.clock.now_ms(), self._ports.entropy.token(10))

    def _keys(
        self, caller: Caller, route: str, own: str, client_id: str | None, index: int = 0
    ) -> tuple[tuple[str, ...], bool]:
        """The keys a command is recorded under, and whether the client may send it again."""
        if caller.idempotency_key is None:
            return (own,), client_id is not None
        return (own, _repeat_key(caller.idempotency_key, route, index)), True


def is_repeat_of_request(caller: Caller, outcome: Outcome, index: int) -> bool:
    """Whether the transfer was posted by an earlier request for this batch under the same key."""
    if caller.idempotency_key is None or isinstance(outcome, Rejected) or not outcome.replayed:
        return False
    return _repeat_key(caller.idempotency_key, BATCH, index) in outcome.recorded.entry.keys


def _repeat_key(idempotency_key: str, route: str, index: int) -> str:
    digest = hashlib.sha256(idempotency_key.encode()).hexdigest()[:32]
    return f"k:{route}:{digest}:{index}"


def _fingerprint(kind: str, fields: Sequence[object]) -> str:
    """Tells a repeat from another command: covers what the client sent."""
    text = json.dumps([kind, *fields], separators=(",", ":"))
    return hashlib.sha256(text.encode("ascii")).hexdigest()[:32]


def _as_seen_by(key: str, recorded: Recorded, position: Position) -> list[AccountEntry]:
    entry = recorded.entry
    if not isinstance(entry, TransferPosted):
        return []
    if account_key(entry.source, entry.asset) == key:
        amount, balance, counterparty = -entry.amount, entry.source_posted, entry.destination
    elif account_key(entry.destination, entry.asset) == key:
        amount, balance, counterparty = entry.amount, entry.destination_posted, entry.source
    else:
        return []
    return [AccountEntry(position, recorded.time_ms, entry, amount, balance, counterparty)]
