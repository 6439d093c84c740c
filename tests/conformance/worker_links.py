"""A holder and commands for tests of handing over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from adapters.worker_link.asyncio_sockets import AsyncioSockets
from adapters.worker_link.directory import DirectoryHost
from adapters.worker_link.host import Host
from adapters.worker_link.trio_sockets import TrioSockets
from domain.ledger.commands import PostTransfer, Submission
from domain.ledger.entries import Recorded, TransferPosted
from domain.ledger.outcomes import Outcome, Outcomes, Posted
from ports.ledger.worker_link import BookHold, Link, WorkerLink
from ports.runtime import Event, Runtime
from tests.simulation.one_host import OneHost
from tests.simulation.runtime.simulated_runtime import SimulatedRuntime

BOOK = "main"


def host_of(runtime: Runtime, directory: Path) -> Host:
    if isinstance(runtime, SimulatedRuntime):
        return OneHost(runtime.simulation).seen_by(runtime, "worker")
    directory.chmod(0o700)
    return DirectoryHost(directory, TrioSockets() if runtime.name == "trio" else AsyncioSockets())


def transfer(id: str, metadata: str = "") -> Submission:
    return Submission((PostTransfer(id, "alice", "bob", 5, "pay", (f"t:{id}",), "f", "tests", metadata),))


def outcome_of(submission: Submission, seq: int) -> tuple[Outcome, ...]:
    return tuple(
        Posted(
            Recorded(
                TransferPosted(
                    command.id, "alice", "bob", 5, "GEMS", "pay", 1, 2, command.keys, "f", "tests",
                    command.metadata,
                ),
                seq,
                7,
            )
        )
        for command in submission.commands
        if isinstance(command, PostTransfer)
    )  # fmt: skip


@dataclass
class Holder:
    """What a book is to its connections: answers in the order in which it is asked, or what it is told."""

    runtime: Runtime
    served: list[int] = field(default_factory=list)
    """How many submissions came at a time."""
    error: Exception | None = None
    may_answer: Event | None = None
    seq: int = 0

    async def serve(self, submissions: Sequence[Submission]) -> Outcomes:
        self.served.append(len(submissions))
        if self.may_answer is not None:
            await self.may_answer.wait()
        if self.error is not None:
            raise self.error
        self.seq += 1
        return [outcome_of(each, self.seq) for each in submissions]


def only(directory: Path, pattern: str) -> Path:
    (path,) = directory.glob(pattern)
    return path


async def held(worker_link: WorkerLink, holder: Holder, book: str = BOOK) -> BookHold:
    holding = await worker_link.hold(book, holder.serve)
    assert holding is not None
    return holding


async def reached(worker_link: WorkerLink, book: str = BOOK) -> Link:
    link = await worker_link.reach(book)
    assert link is not None
    return link
