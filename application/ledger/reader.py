"""The reading side of a book: what this process knows of it, and how fresh that is."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from application.ledger.book_ports import BookPorts
from application.ledger.state_cache import StateCache
from domain.ledger.account import AccountState
from domain.ledger.commands import Submission
from domain.ledger.commit.decider import LOOKS_MAX, Decider
from domain.ledger.commit.effects import CatchUp, Load
from domain.ledger.commit.proofs import keys_of
from domain.ledger.machine import Decision
from domain.ledger.subjects import Subject
from ports.errors import DependencyUnavailable
from ports.ledger.journal import UnreadableBook

READERS_WAITING_MAX: Final = 50_000
CLOSED_S: Final = 5.0
"""How long a book stays closed after something of it could not be read, before it is tried again."""
RAN_AWAY: Final = "the journal grew faster than it could be read"

_log = logging.getLogger(__name__)


class BookReader:
    """States of a book in this process. The book is closed while something of it cannot be read."""

    def __init__(self, name: str, ports: BookPorts, *, accounts_max: int) -> None:
        self.name = name
        self.states = StateCache(name, ports.journal, ports.checkpoints, accounts_max=accounts_max)
        self._ports = ports
        self._unreadable: UnreadableBook | None = None
        self._closed_until_s = 0.0
        self._looks = ports.runtime.batcher(
            self._look, items_max=READERS_WAITING_MAX, waiting_max=READERS_WAITING_MAX
        )

    async def fresh(self) -> None:
        """Returns when all that was acknowledged anywhere before this call is known here."""
        await self._looks.submit(None)

    async def accounts(self, keys: Sequence[str]) -> list[AccountState | None]:
        """Accounts as this process knows them, None for one that does not exist."""
        await self._loaded(keys, ())
        found = [self.states.accounts[key] for key in keys]
        self.states.trim()
        return found

    async def subjects(self, keys: Sequence[str]) -> list[Subject | None]:
        """Holds, grants and transfers as this process knows them, None for one that does not exist."""
        await self._loaded((), keys)
        found = [self.states.subjects[key] for key in keys]
        self.states.trim()
        return found

    async def try_out(self, submission: Submission) -> Decision:
        """What would come of it now; records nothing. Sees every write acknowledged before the call."""
        await self.fresh()
        with self.closing():
            known = await self._ports.journal.recorded(self.name, keys_of([submission]))
            decider = Decider([submission], known, self.states)
            while not isinstance(came := decider.next(self._ports.clock.now_ms()), Decision):
                match came:
                    case Load(accounts, subjects):
                        await self.states.load(accounts, subjects)
                    case CatchUp():
                        await self.states.catch_up()
                    case None:
                        raise DependencyUnavailable("ledger", RAN_AWAY)
        self.states.trim()
        return came

    async def open(self) -> None:
        """Raises `UnreadableBook` while something of the book cannot be read here: closed stays closed, for
        all of the book, until that can be."""
        unreadable, now_s = self._unreadable, self._ports.runtime.monotonic()
        if unreadable is None:
            return
        if now_s < self._closed_until_s:
            raise unreadable
        self._closed_until_s = now_s + CLOSED_S
        if unreadable.seq:
            await self._ports.journal.at(self.name, unreadable.seq)
        else:
            await self._ports.checkpoints.load(self.name, (unreadable.key,))
        self._unreadable = None
        _log.warning("the book %s can be read again", self.name)

    @contextmanager
    def closing(self) -> Iterator[None]:
        """Closes the book when something of it cannot be read."""
        try:
            yield
        except UnreadableBook as error:
            if self._unreadable is None:
                _log.error("the book %s is closed: %s", self.name, error)
            self._unreadable = error
            self._closed_until_s = self._ports.runtime.monotonic() + CLOSED_S
            raise

    async def _look(self, readers: Sequence[None]) -> Sequence[None]:
        # A reader joins only a look that starts after it arrived: the batcher sees to that.
        await self.open()
        with self.closing():
            await self.states.catch_up()
        return readers

    async def _loaded(self, account_keys: Sequence[str], subject_keys: Sequence[str]) -> None:
        await self.open()
        with self.closing():
            for _ in range(LOOKS_MAX):
                # A load that was overtaken brings nothing: a missing key is no missing account.
                if not await self.states.load(account_keys, subject_keys):
                    if not self.states.is_behind:
                        return
                    await self.states.catch_up()
        raise DependencyUnavailable("ledger", RAN_AWAY)
