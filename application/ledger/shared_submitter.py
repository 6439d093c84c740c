"""Commands of a book that several workers of one host share: one of them holds it and appends, the others
hand over to it.

Reads stay with each worker. The journal's fence stays the safety: a worker that reaches no holder appends
by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Final, NamedTuple

from application.ledger.local_submitter import WAITING_COMMANDS_MAX, LocalSubmitter
from application.ledger.reader import BookReader
from domain.ledger.commands import Submission
from domain.ledger.outcomes import CommandOutcome, Outcomes, Posted, Rejected
from ports.errors import DependencyUnavailable, OutcomeUnknown
from ports.ledger.worker_link import (
    BookHold,
    Declined,
    Link,
    LinkUnusable,
    WorkerLink,
)
from ports.runtime import DeadlineExceeded, Overloaded, Runtime, Task, TaskCancelled

HOLDERS_MAX: Final = 16
"""How many holders one after the other may let commands go; then the worker appends them by itself."""
FIND_S_MAX: Final = 2.0
"""How long a holder is looked for, while a worker has the lock and none answers."""
FIND_DELAY_S: Final = 0.001
FIND_DELAY_S_MAX: Final = 0.05
LET_GO_S_MAX: Final = 12.0
"""How long a holder that lets the book go is waited for: longer than it takes it at most."""
ALONE_S: Final = 1.0
"""For so long a worker that found no holder appends by itself before it looks again."""
DOUBT_S_MAX: Final = 1.0
"""How long a rejection waits for its proof, after a holder died with the command in its hands."""
DOUBT_DELAY_S: Final = 0.005
DOUBT_DELAY_S_MAX: Final = 0.1

_log = logging.getLogger("credit.worker_link")


class _Answer(NamedTuple):
    """`in_line`: it was decided after everything that any holder of the book had taken before."""

    outcomes: Outcomes
    in_line: bool


class SharedSubmitter:
    """Submits in this process where it holds the book, or finds no holder; else by the link to the holder."""

    def __init__(
        self, reader: BookReader, local: LocalSubmitter, worker_link: WorkerLink, runtime: Runtime
    ) -> None:
        self.name = reader.name
        self._reader = reader
        self._local = local
        self._worker_link = worker_link
        self._runtime = runtime
        self._holding: BookHold | None = None
        self._link: Link | None = None
        self._finding: Task[None] | None = None
        self._alone_until_s = 0.0
        self._handed_commands = 0
        self._stopped = False

    async def submit(self, submissions: Sequence[Submission]) -> Outcomes:
        if self._holding is not None:
            return await self._local.submit(submissions)
        commands = sum(len(submission.commands) for submission in submissions)
        if self._handed_commands + commands > WAITING_COMMANDS_MAX:
            raise Overloaded(f"{self._handed_commands} commands wait already")
        self._handed_commands += commands
        try:
            return (await self._send(submissions)).outcomes
        except OutcomeUnknown:
            return await self._settled(submissions)
        finally:
            self._handed_commands -= commands

    async def checkpoint(self, keys: Sequence[str]) -> None:
        if self._holding is None:
            # The holder changed them: what is in memory here is older.
            await self._reader.fresh()
            await self._reader.accounts(keys)
        await self._local.checkpoint(keys)

    async def let_go(self) -> None:
        self._stopped = True
        finding = self._finding
        if finding is not None:
            with suppress(TaskCancelled):
                await finding.wait()
        holding, self._holding = self._holding, None
        if holding is not None:
            await holding.release()
        if self._link is not None:
            self._link.close()

    async def stop(self, *, give_up_s: float | None = None) -> None:
        await self.let_go()
        await self._local.stop(give_up_s=give_up_s)

    async def _send(self, submissions: Sequence[Submission]) -> _Answer:
        """By the holder. Raises `OutcomeUnknown` when it died with them in its hands."""
        for _ in range(HOLDERS_MAX):
            if self._holding is None and self._link is None and not self._is_alone():
                await self._find()
            if self._holding is not None:
                return _Answer(await self._local.submit(submissions), in_line=True)
            link = self._link
            if link is None or link.is_silent:
                break
            try:
                return _Answer(await link.submit(submissions), in_line=True)
            except Declined:
                if not await self._gone(link):
                    break
            except LinkUnusable as error:
                _log.warning("commands are appended without the worker that holds the book: %s", error)
                break
        # A holder that lives may have the same commands in its line yet.
        return _Answer(await self._local.submit(submissions), in_line=False)

    def _is_alone(self) -> bool:
        return self._stopped or self._runtime.monotonic() < self._alone_until_s

    async def _gone(self, link: Link) -> bool:
        """Waits until a holder that lets the book go has done so."""
        try:
            async with self._runtime.deadline(LET_GO_S_MAX):
                await link.ended()
        except DeadlineExceeded:
            return False
        self._forget(link)
        return True

    def _forget(self, link: Link) -> None:
        if self._link is link:
            self._link = None

    async def _find(self) -> None:
        """One for all who ask meanwhile."""
        if self._finding is None:
            self._finding = self._runtime.start(self._find_holder, name="find who holds a book")
        await self._finding.wait()

    async def _find_holder(self) -> None:
        try:
            if not await self._is_found():
                self._alone_until_s = self._runtime.monotonic() + ALONE_S
        finally:
            self._finding = None

    async def _is_found(self) -> bool:
        runtime = self._runtime
        give_up_s = runtime.monotonic() + FIND_S_MAX
        delay_s = FIND_DELAY_S
        try:
            while not self._stopped and runtime.monotonic() < give_up_s:
                self._holding = await self._worker_link.hold(self.name, self._local.submit)
                if self._holding is not None:
                    _log.info("this worker holds the book %s", self.name)
                    runtime.start(partial(self._keep, self._holding), name="watch whether a book is held")
                    return True
                self._link = link = await self._worker_link.reach(self.name)
                if link is not None:
                    runtime.start(partial(self._watch, link), name="watch who holds a book")
                    return True
                # A worker has the lock and is about to listen, or about to die.
                await runtime.sleep(delay_s)
                delay_s = min(delay_s * 2, FIND_DELAY_S_MAX)
            _log.warning("no worker answers for the book %s: this worker appends by itself", self.name)
        except LinkUnusable as error:
            _log.warning("this worker appends to the book %s by itself: %s", self.name, error)
        return False

    async def _keep(self, holding: BookHold) -> None:
        """A holder that cannot be found lets the book go, since another worker may hold it as well by now."""
        await holding.lost()
        if self._holding is not holding:
            return
        _log.warning("other workers cannot find this one, which holds the book %s: it lets go", self.name)
        self._holding = None
        await holding.release()
        if not self._stopped and self._link is None and self._holding is None:
            await self._find()

    async def _watch(self, link: Link) -> None:
        """The book is taken over when its holder is gone, not at the next question."""
        await link.ended()
        self._forget(link)
        if not self._stopped and self._link is None and self._holding is None:
            await self._find()

    async def _settled(self, submissions: Sequence[Submission]) -> Outcomes:
        """Sends again what a holder may have posted before it died: the keys tell a repeat.

        Its last document may come yet, one number after the head that was seen since. A rejection is
        believed only when it was decided behind that number; else the outcome is unknown.
        """
        runtime = self._runtime
        again = [_repeatable(submission) for submission in submissions]
        answered: Outcomes | None = None
        beyond = await self._next_seq()
        give_up_s = runtime.monotonic() + DOUBT_S_MAX
        delay_s = DOUBT_DELAY_S
        while runtime.monotonic() < give_up_s:
            is_beyond = self._reader.states.head.seq >= beyond
            try:
                outcomes, in_line = await self._send(again)
            except OutcomeUnknown:
                beyond = await self._next_seq()
                give_up_s = runtime.monotonic() + DOUBT_S_MAX
                continue
            answered = outcomes if answered is None else _later(answered, outcomes)
            if (is_beyond and in_line) or not any(map(_is_rejected, answered)):
                return [
                    _as_first(submission, each)
                    for submission, each in zip(submissions, answered, strict=True)
                ]
            await runtime.sleep(delay_s)
            delay_s = min(delay_s * 2, DOUBT_DELAY_S_MAX)
            await self._reader.fresh()
        raise DependencyUnavailable("ledger", "a worker died, and what it may have posted last is not known")

    async def _next_seq(self) -> int:
        await self._reader.fresh()
        return self._reader.states.head.seq + 1


def _repeatable(submission: Submission) -> Submission:
    """As one that may be a repeat: also when it is rejected now, its keys are looked for in the journal."""
    commands = [command._replace(repeatable=True) for command in submission.commands]
    return submission._replace(commands=tuple(commands))


def _is_rejected(outcomes: Sequence[CommandOutcome]) -> bool:
    return any(isinstance(outcome, Rejected) for outcome in outcomes)


def _later(before: Outcomes, now: Outcomes) -> Outcomes:
    """What was posted stays as it was answered; what was rejected was asked for again."""
    return [
        tuple(
            later if isinstance(earlier, Rejected) else earlier
            for earlier, later in zip(some, others, strict=True)
        )
        for some, others in zip(before, now, strict=True)
    ]


def _as_first(submission: Submission, outcomes: tuple[CommandOutcome, ...]) -> tuple[CommandOutcome, ...]:
    """Where this worker alone can have sent a command, its repeat was its own."""
    return tuple(
        outcome._replace(replayed=False)
        if isinstance(outcome, Posted) and not command.repeatable
        else outcome
        for command, outcome in zip(submission.commands, outcomes, strict=True)
    )
