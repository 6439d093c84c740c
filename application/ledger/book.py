"""One book: group commit over a journal that fences its writers by sequence number.

Arriving commands gather while an append is under way and are decided together in the next one.
Decisions live on an overlay; memory takes them over when the journal has acknowledged them.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

from application.ledger.checkpointer import Checkpointer
from application.ledger.committed import Committed, CommittedBatch
from application.ledger.crossings import Crossings, crossings
from application.ledger.sizes import BATCH_BYTES_MAX, BATCH_COMMANDS_MAX, halves, is_too_large, weight
from application.ledger.state_cache import StateCache
from application.ledger.turns import Turns
from domain.ledger.account import AccountState
from domain.ledger.chain import Head, JournalDocument, seal
from domain.ledger.commands import Command, PostTransfer, Submission
from domain.ledger.entries import Recorded
from domain.ledger.machine import Decision, decide, repeat_of
from domain.ledger.outcomes import CommandOutcome, Posted, Rejected
from domain.ledger.prefetch import prefetch_keys
from domain.ledger.subjects import Subject
from ports.clock import Clock
from ports.entropy import Entropy
from ports.errors import DependencyUnavailable
from ports.ledger.claims import Claims
from ports.ledger.journal import Append, Checkpoints, Journal, UnreadableBook
from ports.ledger.worker_link import WorkerLink
from ports.runtime import Overloaded, Runtime

Found = TypeVar("Found")

WAITING_SUBMISSIONS_MAX: Final = 50_000
DECISIONS_A_BATCH_MAX: Final = 1_000
DECIDING_S_MAX: Final = 5.0
"""How often, and for how long, a batch is decided anew because other writers were faster."""
APPEND_S_MAX: Final = 8.0
"""How long the same bytes go out while nobody knows whether they arrived; the last try may add the
store's own bound to it."""
SLOW_FAILURE_S: Final = 1.0
AWAY_S: Final = 1.0
"""After so slow a failure all that waits fails at once for so long, not batch by batch in turn."""
WAITING_COMMANDS_MAX: Final = 200_000
LOADS_MAX: Final = 64
"""How often a reader loads an account anew because the journal's head ran away from it."""
CLOSED_S: Final = 5.0
"""How long a book stays closed after something of it could not be read, before it is tried again."""
RETRY_DELAY_S: Final = 0.02
RETRY_DELAY_S_MAX: Final = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BookPorts:
    """What a book needs of the outside."""

    runtime: Runtime
    clock: Clock
    entropy: Entropy
    journal: Journal
    checkpoints: Checkpoints
    worker_link: WorkerLink | None = None
    """How the workers of one host share a book; None where there is one worker."""
    claims: Claims | None = None
    """How writers on several hosts take turns; None where there is one."""


@dataclass(frozen=True, slots=True)
class _Pending:
    """A decision and the document that it goes into, until both are known to count or not."""

    document: JournalDocument
    decision: Decision
    crossings: Crossings


class Book:
    """The writer and reader of one book in this process."""

    def __init__(
        self, name: str, ports: BookPorts, *, accounts_max: int, committed: Committed | None = None
    ) -> None:
        self.name = name
        self._ports = ports
        self._journal = ports.journal
        self._known = StateCache(name, ports.journal, ports.checkpoints, accounts_max=accounts_max)
        self._checkpointer = Checkpointer(name, ports.runtime, ports.checkpoints)
        self._committed = committed
        self._turns = Turns(name, ports.entropy.token(8).hex(), ports.runtime, ports.claims)
        self._flushing = False
        self._away_until_s = 0.0
        self._unreadable: UnreadableBook | None = None
        self._closed_until_s = 0.0
        self._unsettled: _Pending | None = None
        """Appended without an answer and given up: it may be there, come later, or never."""
        self._waiting_commands = 0
        self._submissions = ports.runtime.batcher(
            self._commit,
            items_max=BATCH_COMMANDS_MAX,
            waiting_max=WAITING_SUBMISSIONS_MAX,
            weigh=weight,
            weight_max=BATCH_BYTES_MAX,
        )
        self._looks = ports.runtime.batcher(
            self._look, items_max=WAITING_SUBMISSIONS_MAX, waiting_max=WAITING_SUBMISSIONS_MAX
        )

    @property
    def head(self) -> Head:
        """The last document this process knows of."""
        return self._known.head

    async def start(self) -> None:
        await self._known.start()

    def overdue(self, now_ms: int) -> list[str]:
        """Accounts in which something that others wrote has fallen due, each said once."""
        return self._known.remote_due.overdue(now_ms)

    def still_overdue(self, keys: Sequence[str]) -> None:
        """They could not be recorded now."""
        self._known.remote_due.add_again(keys)

    async def stop(self, *, give_up_s: float | None = None) -> None:
        """Writes the checkpoints that wait, for a bounded time. Nothing is lost without them but the time
        of loading their accounts."""
        await self._checkpointer.flush(give_up_s=give_up_s)

    async def submit(self, submissions: Sequence[Submission]) -> Sequence[tuple[CommandOutcome, ...]]:
        """Decides and commits; one tuple of outcomes a submission, in order.

        Raises `Overloaded` (nothing was taken) and `DependencyUnavailable`: then nobody knows
        whether it was posted, and sending the same id again tells.
        """
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

    async def fresh(self) -> None:
        """Returns when everything that was acknowledged anywhere before this call is known here."""
        await self._looks.submit(None)

    async def accounts(self, keys: Sequence[str]) -> list[AccountState | None]:
        """Accounts as this process knows them, None for one that does not exist.

        Call `fresh` first to see other workers' writes.
        """
        await self._read(keys, ())
        return self._trimmed([self._known.accounts[key] for key in keys])

    async def subjects(self, keys: Sequence[str]) -> list[Subject | None]:
        """Holds, grants and transfers as this process knows them, None for one that does not exist."""
        await self._read((), keys)
        return self._trimmed([self._known.subjects[key] for key in keys])

    async def check(self) -> None:
        """Raises `UnreadableBook` while something of the book cannot be read here."""
        await self._open()

    async def _open(self) -> None:
        """Closed stays closed, for all of the book, until what could not be read can be."""
        unreadable, now_s = self._unreadable, self._ports.runtime.monotonic()
        if unreadable is None:
            return
        if now_s < self._closed_until_s:
            raise unreadable
        self._closed_until_s = now_s + CLOSED_S
        if unreadable.seq:
            await self._journal.at(self.name, unreadable.seq)
        else:
            await self._ports.checkpoints.load(self.name, (unreadable.key,))
        self._unreadable = None
        _log.warning("the book %s can be read again", self.name)

    @contextmanager
    def _closing(self) -> Iterator[None]:
        """Closes the book when something of it cannot be read."""
        try:
            yield
        except UnreadableBook as error:
            if self._unreadable is None:
                _log.error("the book %s is closed: %s", self.name, error)
            self._unreadable = error
            self._closed_until_s = self._ports.runtime.monotonic() + CLOSED_S
            raise

    async def _read(self, account_keys: Sequence[str], subject_keys: Sequence[str]) -> None:
        await self._open()
        with self._closing():
            await self._loaded(account_keys, subject_keys)

    async def _loaded(self, account_keys: Sequence[str], subject_keys: Sequence[str]) -> None:
        for _ in range(LOADS_MAX):
            # A load that was overtaken brings nothing: a missing key is no missing account.
            if not await self._known.load(account_keys, subject_keys):
                if not self._known.is_behind:
                    return
                await self._known.catch_up()
        raise DependencyUnavailable("ledger", "the journal grew faster than it could be read")

    def _trimmed(self, found: Found) -> Found:
        if not self._flushing:
            self._known.trim()
        return found

    async def try_out(self, submission: Submission) -> Decision:
        """What would come of it now; records nothing. Sees every write acknowledged before the call."""
        await self.fresh()
        with self._closing():
            known = await self._recorded(_keys([submission]))
            return self._trimmed(await self._decide([submission], known))

    async def checkpoint(self, keys: Sequence[str]) -> None:
        """Has the states of these accounts saved again, whether or not something changed them."""
        states = {key: state for key in keys if (state := self._known.accounts.get(key)) is not None}
        await self._checkpointer.add(states, urgent=states)

    async def _look(self, readers: Sequence[None]) -> Sequence[None]:
        # A reader joins only a look that starts after it arrived: the batcher sees to that.
        await self._open()
        with self._closing():
            await self._known.catch_up()
        return readers

    async def _commit(self, batch: Sequence[Submission]) -> Sequence[tuple[CommandOutcome, ...]]:
        monotonic = self._ports.runtime.monotonic
        began_s = monotonic()
        if began_s < self._away_until_s:
            raise DependencyUnavailable("ledger", "the journal gave no answer a moment ago")
        await self._open()
        self._flushing = True
        try:
            with self._closing():
                if self._unsettled is not None and await self._append(self._unsettled) is not Append.APPENDED:
                    # First: what is decided without it may be refused, and be posted when it comes after all.
                    await self._known.catch_up()
                return await self._decide_and_append(batch, {})
        except DependencyUnavailable:
            if (failed_s := monotonic()) - began_s >= SLOW_FAILURE_S:
                self._away_until_s = failed_s + AWAY_S
            raise
        finally:
            self._flushing = False
            self._known.trim()

    async def _decide_and_append(
        self, batch: Sequence[Submission], known: dict[str, Recorded]
    ) -> Sequence[tuple[CommandOutcome, ...]]:
        absent = _Absent()
        for _ in self._rounds():
            if await self._turns.wait_for_turn():
                await self._known.catch_up()
            decision = await self._decide(batch, known)
            if is_too_large(decision.entries) and (parts := halves(batch)) is not None:
                outcomes = [each for part in parts for each in await self._decide_and_append(part, known)]
                return outcomes if len(batch) > 1 else [outcomes[0] + outcomes[1]]
            absent.forget_before(self._known.head.seq)
            if unproven := absent.unproven(batch, decision.outcomes, known):
                # A refusal that is to be recorded is none before its ids are known to be new: afterwards
                # the document that says so could not be taken back.
                found = await self._recorded(unproven)
                known.update(found)
                absent.add(unproven, found)
                continue
            document = self._sealed(decision)
            if document is not None:
                # Now: while the append is under way a reader may learn of the document and move states on.
                crossed = crossings(self._known.accounts, decision.changed, decision.time_ms)
                result = await self._append(_Pending(document, decision, crossed))
                if result is not Append.APPENDED:
                    if result is Append.SEQ_TAKEN:
                        self._turns.lost()
                    await self._known.catch_up()
                    if result is Append.KEY_TAKEN:
                        known.update(await self._recorded(_keys(batch)))
                    continue
            unproven = _keys_of_rejected(batch, decision.outcomes, known, absent)
            if document is not None:
                return await self._proved(batch, decision.outcomes, document, unproven, known)
            # Nothing was appended, so nothing proved that the head was seen.
            moved = await self._known.catch_up()
            found = await self._recorded(unproven) if unproven else {}
            known.update(found)
            if not (moved or found):
                return decision.outcomes
        raise DependencyUnavailable("ledger", "other writers were faster too often")

    async def _proved(
        self,
        batch: Sequence[Submission],
        outcomes: Sequence[tuple[CommandOutcome, ...]],
        document: JournalDocument,
        unproven: Sequence[str],
        known: dict[str, Recorded],
    ) -> Sequence[tuple[CommandOutcome, ...]]:
        """The outcomes of a batch that was appended, which proved that it saw the head, and that its ids are
        new. A rejection has proved neither: it may be a repeat whose first answer was lost."""
        if not unproven:
            return outcomes
        # What this very document posted was decided after the rejection, which repeats nothing of it.
        found = {
            key: each for key, each in (await self._recorded(unproven)).items() if each.seq != document.seq
        }
        known.update(found)
        return await self._with_repeats(batch, outcomes, known) if found else outcomes

    def _rounds(self) -> Iterator[None]:
        """As often, and for as long, as a batch may be decided."""
        monotonic = self._ports.runtime.monotonic
        give_up_s = monotonic() + DECIDING_S_MAX
        for _ in range(DECISIONS_A_BATCH_MAX):
            if monotonic() >= give_up_s:
                return
            yield

    async def _with_repeats(
        self,
        batch: Sequence[Submission],
        outcomes: Sequence[tuple[CommandOutcome, ...]],
        known: dict[str, Recorded],
    ) -> Sequence[tuple[CommandOutcome, ...]]:
        """The outcomes, rejections replaced by the first answers that the journal turned out to have.

        An atomic submission with a repeat among its rejections is decided anew: without it, the
        rest of it may well be posted.
        """
        settled = list(outcomes)
        again: list[int] = []
        for index, submission in enumerate(batch):
            repeats = [
                # What was refused for good stands in the document: nothing found since changes it.
                (isinstance(outcome, Rejected) and not _is_remembered(command) and repeat_of(command, known))
                or outcome
                for command, outcome in zip(submission.commands, outcomes[index], strict=True)
            ]
            if submission.atomic and tuple(repeats) != outcomes[index]:
                again.append(index)
            settled[index] = tuple(repeats)
        if again:
            anew = await self._decide_and_append([batch[index] for index in again], known)
            for index, results in zip(again, anew, strict=True):
                settled[index] = results
        return settled

    async def _decide(self, batch: Sequence[Submission], known: Mapping[str, Recorded]) -> Decision:
        """Decides on what is in memory, having awaited nothing since the last of it was loaded."""
        commands = [command for submission in batch for command in submission.commands]
        more: frozenset[str] = frozenset()
        for _ in range(LOADS_MAX):
            accounts, subjects = prefetch_keys(commands, self._known.accounts, self._known.subjects)
            if await self._known.load(accounts, subjects | more):
                continue
            if self._known.is_behind:
                await self._known.catch_up()
                continue
            decision = decide(
                self._known.accounts,
                batch,
                known=known,
                seq=self._known.head.seq + 1,
                time_ms=max(self._ports.clock.now_ms(), self._known.head.time_ms),
                subjects=self._known.subjects,
            )
            if not decision.missing:
                return decision
            more |= decision.missing
        raise DependencyUnavailable("ledger", "the journal grew faster than it could be read")

    def _sealed(self, decision: Decision) -> JournalDocument | None:
        if not decision.entries:
            return None
        nonce = self._ports.entropy.token(16).hex()
        return seal(self.name, self._known.head, decision.entries, time_ms=decision.time_ms, nonce=nonce)

    async def _recorded(self, keys: Iterable[str]) -> Mapping[str, Recorded]:
        return await self._journal.recorded(self.name, keys)

    async def _append(self, pending: _Pending) -> Append:
        """Takes the decision over when its document is in the journal; says why when it never will be."""
        self._unsettled = pending
        try:
            result = await self._sent(pending.document)
        except DependencyUnavailable:
            raise
        except Exception:
            self._unsettled = None
            raise
        self._unsettled = None
        if result is Append.APPENDED:
            decision, (low, snapshots, urgent) = pending.decision, pending.crossings
            self._known.adopt(pending.document, decision)
            self._turns.won()
            if self._committed is not None:
                self._committed(CommittedBatch(pending.document, decision.changed, low))
            await self._checkpointer.add(decision.changed, urgent=urgent, snapshots=snapshots)
        return result

    async def _sent(self, document: JournalDocument) -> Append:
        """`APPENDED` when the document is in the journal, else why it is not and never will be.

        An unknown result is settled by sending the same bytes again until the answer says, or until
        a majority shows whose document stands at that number.
        """
        delay_s = RETRY_DELAY_S
        runtime = self._ports.runtime
        give_up_s = runtime.monotonic() + APPEND_S_MAX
        while runtime.monotonic() < give_up_s:
            result = await self._journal.append(document)
            if result is Append.APPENDED:
                return result
            if result is not Append.UNKNOWN:
                standing = await self._journal.at(self.name, document.seq)
                if standing is not None:
                    return Append.APPENDED if standing.nonce == document.nonce else Append.SEQ_TAKEN
                keys = [key for entry in document.entries for key in entry.keys]
                if result is Append.KEY_TAKEN and await self._recorded(keys):
                    return result
                # Somebody's document is there, but no majority holds it yet: it may still go away.
            await runtime.sleep(delay_s)
            delay_s = min(delay_s * 2, RETRY_DELAY_S_MAX)
        raise DependencyUnavailable("ledger", f"document {document.seq} was not acknowledged")


class _Absent:
    """Keys that the journal had not when its head was where the batch is decided: an append right after
    that head proves that they are new."""

    __slots__ = ("_keys", "_seq")

    def __init__(self) -> None:
        self._keys: set[str] = set()
        self._seq = 0

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def forget_before(self, seq: int) -> None:
        if self._seq != seq:
            self._keys.clear()
            self._seq = seq

    def add(self, asked: Iterable[str], found: Mapping[str, Recorded]) -> None:
        self._keys.update(key for key in asked if key not in found)

    def unproven(
        self,
        batch: Sequence[Submission],
        outcomes: Sequence[tuple[CommandOutcome, ...]],
        known: Mapping[str, Recorded],
    ) -> list[str]:
        """Keys of the refusals that are to be recorded which nobody has looked up at this head."""
        return [
            key
            for command, _ in _rejected(batch, outcomes)
            if _is_remembered(command)
            for key in command.keys
            if key not in known and key not in self._keys
        ]


def _is_remembered(command: Command) -> bool:
    """Whether a refusal of the command is recorded in the journal."""
    return type(command) is PostTransfer and bool(command.refusal_keys)


def _keys(batch: Sequence[Submission]) -> list[str]:
    return [key for submission in batch for command in submission.commands for key in command.keys]


def _keys_of_rejected(
    batch: Sequence[Submission],
    outcomes: Sequence[tuple[CommandOutcome, ...]],
    known: Mapping[str, Recorded],
    absent: _Absent,
) -> list[str]:
    """Keys of rejected commands that may be repeats and were not looked up in the journal so far."""
    return [
        key
        for command, _ in _rejected(batch, outcomes)
        if command.repeatable
        for key in command.keys
        if key not in known and key not in absent
    ]


def _rejected(
    batch: Sequence[Submission], outcomes: Sequence[tuple[CommandOutcome, ...]]
) -> list[tuple[Command, Rejected]]:
    if all(type(outcome) is Posted for results in outcomes for outcome in results):
        return []  # Nearly always.
    return [
        (command, outcome)
        for submission, results in zip(batch, outcomes, strict=True)
        for command, outcome in zip(submission.commands, results, strict=True)
        if isinstance(outcome, Rejected)
    ]
