"""The ports that the books of a process stand on."""

from __future__ import annotations

from dataclasses import dataclass

from ports.clock import Clock
from ports.entropy import Entropy
from ports.ledger.claims import Claims
from ports.ledger.journal import Checkpoints, Journal
from ports.ledger.worker_link import WorkerLink
from ports.runtime import Runtime


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
