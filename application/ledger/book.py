"""One book of this process: its reader, and where its commands go."""

from __future__ import annotations

from collections.abc import Sequence

from application.ledger.book_ports import BookPorts
from application.ledger.committed import Committed
from application.ledger.local_submitter import LocalSubmitter
from application.ledger.reader import BookReader
from application.ledger.shared_submitter import SharedSubmitter
from application.ledger.submitter import Submitter
from domain.ledger.account import AccountState
from domain.ledger.chain import Head
from domain.ledger.commands import Submission
from domain.ledger.machine import Decision
from domain.ledger.outcomes import Outcomes
from domain.ledger.subjects import Subject


class Book:
    """Reads and writes of one book in this process. Every method raises `DependencyUnavailable`; those that
    read entries or states raise `UnreadableBook` while something of the book cannot be read."""

    def __init__(
        self, name: str, ports: BookPorts, *, accounts_max: int, committed: Committed | None = None
    ) -> None:
        self.name = name
        self._reader = BookReader(name, ports, accounts_max=accounts_max)
        local = LocalSubmitter(name, ports, self._reader, committed)
        self._submitter: Submitter = local
        if ports.worker_link is not None:
            self._submitter = SharedSubmitter(self._reader, local, ports.worker_link, ports.runtime)

    @property
    def head(self) -> Head:
        """The last document this process knows of."""
        return self._reader.states.head

    async def start(self) -> None:
        """Finds the head; accounts come in when they are asked for."""
        await self._reader.states.start()

    async def check(self) -> None:
        """Raises `UnreadableBook` while something of the book cannot be read here."""
        await self._reader.open()

    async def submit(self, submissions: Sequence[Submission]) -> Outcomes:
        """As `Submitter.submit`."""
        return await self._submitter.submit(submissions)

    async def fresh(self) -> None:
        """Returns when everything that was acknowledged anywhere before this call is known here."""
        await self._reader.fresh()

    async def accounts(self, keys: Sequence[str]) -> list[AccountState | None]:
        """Accounts as this process knows them, None for one that does not exist.

        Call `fresh` first to see other workers' writes.
        """
        return await self._reader.accounts(keys)

    async def subjects(self, keys: Sequence[str]) -> list[Subject | None]:
        """Holds, grants and transfers as this process knows them, None for one that does not exist."""
        return await self._reader.subjects(keys)

    async def try_out(self, submission: Submission) -> Decision:
        """What would come of it now; records nothing. Sees every write acknowledged before the call."""
        return await self._reader.try_out(submission)

    def overdue(self, now_ms: int) -> list[str]:
        """Accounts in which something that others wrote has fallen due, each said once."""
        return self._reader.states.remote_due.overdue(now_ms)

    def still_overdue(self, keys: Sequence[str]) -> None:
        """They could not be recorded now."""
        self._reader.states.remote_due.add_again(keys)

    async def checkpoint(self, keys: Sequence[str]) -> None:
        """Has the states of these accounts saved again, whether or not something changed them."""
        await self._submitter.checkpoint(keys)

    async def let_go(self) -> None:
        """Another worker may hold the book from now on; what is still asked of this one it appends alone."""
        await self._submitter.let_go()

    async def stop(self, *, give_up_s: float | None = None) -> None:
        """Writes the checkpoints that wait, for a bounded time. Nothing is lost without them but the time
        of loading their accounts."""
        await self._submitter.stop(give_up_s=give_up_s)
