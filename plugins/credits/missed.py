"""Brings balances up to date whose push did not come, by the journal's own numbers.

A push may be lost with the bus, with the connection of a worker that listens, or with the worker that should
have published it. The journal is not lost. So the worker that has published all pushes of a document tells
its number, and every worker keeps the numbers that it heard: a document that stands in the journal for a
second without its number being heard is read, and the balances that it moved are told to the users connected
here. After a gap all documents that were written in it are read.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from typing import Final

from credit_system import (
    DEFAULT_BOOK,
    AccountState,
    BalancePush,
    DeadlineExceeded,
    DependencyUnavailable,
    Ledger,
    Overloaded,
    Realtime,
    Recurring,
    Runtime,
    Task,
)
from domain.realtime.events import CloseCode
from domain.realtime.spans import Span, Spans
from ports.ledger.journal import UnreadableBook
from ports.realtime.bus import Subscription

TOPIC: Final = "ledger:announced"
LOOK_S: Final = 1.0
SAY_S: Final = 0.1
"""The numbers of so long are told together."""
SPANS_SAID_MAX: Final = 64
CATCH_UP_S_MAX: Final = 3.0
"""For one round. A user not brought up to date by then is sent away, to come back and ask."""
USERS_AT_ONCE_MAX: Final = 8
CLOSED_AT_ONCE_MAX: Final = 100
CLOSE_PAUSE_S: Final = 0.1
"""So that clients do not all come back in one moment."""

_AWAY = (DependencyUnavailable, DeadlineExceeded, Overloaded)
_log = logging.getLogger(__name__)


class MissedBalances:
    """Of the book that users act in. Runs as long as the runtime."""

    def __init__(self, runtime: Runtime, ledger: Ledger, realtime: Realtime) -> None:
        self._runtime = runtime
        self._ledger = ledger
        self._realtime = realtime
        self._unsaid = Spans()
        self._saying: Task[None] | None = None
        self._heard = Spans()
        self._hearing: Subscription | None = None
        self._upto: int | None = None
        """Of all documents up to this one the balances were told here, or need not be."""
        self._stood = 0
        """The head at the last look."""
        self._gaps = self._gaps_made_good = 0
        self._looking = Recurring(runtime, self._go_round, name="missed balances")

    def begin(self, _: object) -> None:
        """Hook `service.started`."""
        self._realtime.on_gap(self._note_gap)
        self._looking.start()

    def published(self, seq: int) -> None:
        """All pushes of this document went out."""
        self._unsaid.add(seq, seq)
        if self._saying is None:
            self._saying = self._runtime.start(self._say, name="announced documents")

    def _note_gap(self) -> None:
        self._gaps += 1

    async def _say(self) -> None:
        try:
            while len(self._unsaid):
                await self._runtime.sleep(SAY_S)
                spans = list(self._unsaid)[:SPANS_SAID_MAX]
                self._unsaid.forget_to(spans[-1][1])
                await self._realtime.tell_workers(TOPIC, json.dumps({"spans": spans}).encode())
        except _AWAY as error:
            # All workers read the documents whose numbers were not heard.
            _log.debug("announced documents were not told of: %s", error)
        finally:
            self._saying = None

    def _hear(self, message: bytes) -> None:
        if not self._realtime.hears_all:
            return  # pushes of the same moment may be missed
        try:
            for first, last in json.loads(message)["spans"]:
                self._heard.add(int(first), int(last))
        except (ValueError, KeyError, TypeError):
            return  # said by a worker of another release, in words that this one does not know

    async def _go_round(self) -> float:
        try:
            if self._hearing is None:
                self._hearing = await self._realtime.hear_workers(TOPIC, self._hear)
        except _AWAY as error:
            _log.debug("announced documents are not heard of: %s", error)
        try:
            await self._look()
        except _AWAY as error:
            _log.debug("missed balances were not looked for: %s", error)
        except Exception:  # noqa: BLE001 - a fault of one round must not end all that follow
            _log.exception("missed balances were not looked for")
        return LOOK_S

    async def _look(self) -> None:
        # Before the head is read: a document written in a gap that ended by now is at or below it.
        gaps, hears_all = self._gaps, self._realtime.hears_all
        head = await self._ledger.last_seq(DEFAULT_BOOK)
        if self._upto is None:
            self._upto = self._stood = head
        spans: list[Span]
        if gaps != self._gaps_made_good or not hears_all or self._hearing is None:
            known, spans = head, [(self._upto + 1, head)] if head > self._upto else []
        else:
            known, spans = self._stood, self._heard.missing(self._upto + 1, self._stood)
        if spans and self._realtime.users_here():
            await self._make_good(spans)
        self._upto, self._stood, self._gaps_made_good = max(self._upto, known), head, gaps
        self._heard.forget_to(self._upto)

    async def _make_good(self, spans: Sequence[Span]) -> None:
        began_s = self._runtime.monotonic()
        try:
            async with self._runtime.deadline(CATCH_UP_S_MAX):
                states = await self._ledger.moved(DEFAULT_BOOK, spans)
        except DeadlineExceeded:
            states = None
        except UnreadableBook:
            # Only that newer release can read what it wrote.
            await self._send_away(self._realtime.users_here())
            return
        if states is None:
            await self._ask_for_all(began_s + CATCH_UP_S_MAX)
        else:
            self._tell(states)

    async def _ask_for_all(self, give_up_s: float) -> None:
        """Too much was missed to go by what moved: each user's accounts are asked for, as time allows."""
        left = self._realtime.users_here()

        async def ask() -> None:
            while left and self._runtime.monotonic() < give_up_s:
                user_id = left.pop()
                self._tell(await self._ledger.accounts_of(DEFAULT_BOOK, user_id))

        asking = [self._runtime.start(ask, name="all balances") for _ in range(USERS_AT_ONCE_MAX)]
        for each in asking:
            await each.wait()
        await self._send_away(left)

    async def _send_away(self, users: Sequence[str]) -> None:
        for place, user_id in enumerate(users, start=1):
            self._realtime.close_user_here(user_id, CloseCode.RESTARTING)
            if place % CLOSED_AT_ONCE_MAX == 0:
                await self._runtime.sleep(CLOSE_PAUSE_S)

    def _tell(self, states: Sequence[AccountState]) -> None:
        for state in states:
            account = state.account
            if account.user_id is not None and self._realtime.is_here(account.user_id):
                push = BalancePush(account.id, state.posted, state.held, state.available, state.seq)
                self._realtime.deliver_here(account.user_id, push)
