"""Group commit over a journal that fences its writers by sequence number.

Arriving commands gather while an append is under way and are decided together in the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from application.ledger.book_ports import BookPorts
from application.ledger.checkpointer import Checkpointer
from application.ledger.committed import Committed, CommittedBatch
from application.ledger.reader import BookReader
from application.ledger.turns import Turns
from domain.ledger.commands import Submission
from domain.ledger.commit.effects import (
    Adopt,
    Adopted,
    Answer,
    Answered,
    AppendDocument,
    AwaitTurn,
    CatchUp,
    Finished,
    Found,
    GaveUp,
    Load,
    Loaded,
    LookUp,
    Moment,
    Pause,
    Paused,
    Pending,
    ReadDocument,
    Request,
    Standing,
    TailRead,
    TurnCame,
)
from domain.ledger.commit.machine import Commit, CommitLimits
from domain.ledger.commit.sizes import BATCH_BYTES_MAX, BATCH_COMMANDS_MAX, weight
from domain.ledger.outcomes import Outcomes
from ports.errors import DependencyUnavailable
from ports.runtime import Overloaded

LIMITS = CommitLimits()
SLOW_FAILURE_S: Final = 1.0
AWAY_S: Final = 1.0
"""After so slow a failure all that waits fails at once for so long, not batch by batch in turn."""
WAITING_SUBMISSIONS_MAX: Final = 50_000
WAITING_COMMANDS_MAX: Final = 200_000


class LocalSubmitter:
    """The writer of a book in this process: drives one `Commit` after the other."""

    def __init__(
        self, name: str, ports: BookPorts, reader: BookReader, committed: Committed | None = None
    ) -> None:
        self.name = name
        self._ports = ports
        self._reader = reader
        self._states = reader.states
        self._checkpointer = Checkpointer(name, ports.runtime, ports.checkpoints)
        self._committed = committed
        self._turns = Turns(name, ports.entropy.token(8).hex(), ports.runtime, ports.claims)
        self._away_until_s = 0.0
        self._unsettled: Pending | None = None
        """Appended without an answer and given up: it may be there, come later, or never."""
        self._waiting_commands = 0
        self._submissions = ports.runtime.batcher(
            self._commit,
            items_max=BATCH_COMMANDS_MAX,
            waiting_max=WAITING_SUBMISSIONS_MAX,
            weigh=weight,
            weight_max=BATCH_BYTES_MAX,
        )

    async def submit(self, submissions: Sequence[Submission]) -> Outcomes:
        commands = 0
        for submission in submissions:
            commands += len(submission.commands)
        if self._waiting_commands + commands > WAITING_COMMANDS_MAX:
            raise Overloaded(f"{self._waiting_commands} commands wait already")
        self._waiting_commands += commands
        try:
            if len(submissions) == 1:
                return (await self._submissions.submit(submissions[0]),)
            return await self._submissions.submit_many(submissions)
        finally:
            self._waiting_commands -= commands

    async def checkpoint(self, keys: Sequence[str]) -> None:
        accounts = self._states.accounts
        states = {key: state for key in keys if (state := accounts.get(key)) is not None}
        await self._checkpointer.add(states, urgent=states)

    async def let_go(self) -> None:
        """No other worker is waiting for it."""

    async def stop(self, *, give_up_s: float | None = None) -> None:
        await self._checkpointer.flush(give_up_s=give_up_s)

    async def _commit(self, batch: Sequence[Submission]) -> Outcomes:
        monotonic = self._ports.runtime.monotonic
        began_s = monotonic()
        if began_s < self._away_until_s:
            raise DependencyUnavailable("ledger", "the journal gave no answer a moment ago")
        await self._reader.open()
        try:
            with self._states.keeping(), self._reader.closing():
                return await self._drive(self._commit_of(batch))
        except DependencyUnavailable:
            if (failed_s := monotonic()) - began_s >= SLOW_FAILURE_S:
                self._away_until_s = failed_s + AWAY_S
            raise

    def _commit_of(self, batch: Sequence[Submission]) -> Commit:
        nonce = self._ports.entropy.token(16).hex()
        return Commit(self.name, batch, self._states, nonce=nonce, limits=LIMITS, earlier=self._unsettled)

    async def _drive(self, commit: Commit) -> Outcomes:
        goes_out_again = True
        try:
            effect = commit.begin(self._moment())
            while not isinstance(effect, Finished):
                if isinstance(effect, GaveUp):
                    raise DependencyUnavailable("ledger", effect.reason)
                answer = await self._carry_out(effect)
                effect = commit.advance(answer, self._moment())
        except Exception as error:
            # A document that makes something fail would fail every batch after it.
            goes_out_again = isinstance(error, DependencyUnavailable)
            raise
        finally:
            self._unsettled = commit.pending if goes_out_again else None
        return effect.outcomes

    def _moment(self) -> Moment:
        ports = self._ports
        return Moment(ports.clock.now_ms(), ports.runtime.monotonic())

    async def _carry_out(self, effect: Request) -> Answer:
        match effect:
            case AwaitTurn():
                return TurnCame(gave_way=await self._turns.wait_for_turn())
            case AppendDocument(document):
                return Answered(await self._ports.journal.append(document))
            case Adopt(pending):
                await self._adopt(pending)
                return Adopted()
            case Load(accounts, subjects):
                await self._states.load(accounts, subjects)
                return Loaded()
            case CatchUp(lost):
                if lost:
                    self._turns.lost()
                await self._states.catch_up()
                return TailRead()
            case LookUp(keys):
                return Found(await self._ports.journal.recorded(self.name, keys))
            case ReadDocument(seq):
                return Standing(await self._ports.journal.at(self.name, seq))
            case Pause(seconds):
                await self._ports.runtime.sleep(seconds)
                return Paused()

    async def _adopt(self, pending: Pending) -> None:
        document, decision, (low, snapshots, urgent) = pending
        self._states.adopt(document, decision)
        self._turns.won()
        if self._committed is not None:
            self._committed(CommittedBatch(document, decision.changed, low))
        await self._checkpointer.add(decision.changed, urgent=urgent, snapshots=snapshots)
