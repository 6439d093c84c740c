"""Journals as they come of a ledger's busy life, and what a forger may do to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from adapters.memory.ledger.journal import MemoryCheckpoints, MemoryJournal
from application.ledger.verification import ExpectedHead, Verification, verify
from domain.ledger.chain import Head, JournalDocument, seal
from domain.ledger.entries import Cause, Entry, TransferPosted
from ports.ledger.journal import Checkpoints, Journal
from tests.simulation.ledger_world import BOOK
from tests.simulation.runtime.simulated_runtime import SimulatedRuntime, Simulation
from tests.simulation.test_ledger_past import Life
from tests.simulation.test_ledger_storm import CALM, Storm
from tests.simulation.unreliable_store import Outside

LIVES = 12

unhurried = settings(deadline=None)
"""A life takes its time when it is asked for first."""


@dataclass(frozen=True)
class Lived:
    """A book and what was stored beside it. Not to be changed: it is made once."""

    documents: tuple[JournalDocument, ...]
    journal: MemoryJournal
    checkpoints: MemoryCheckpoints

    @property
    def expected(self) -> ExpectedHead:
        return ExpectedHead(self.documents[-1].seq, self.documents[-1].digest)

    def forged(self, documents: Sequence[JournalDocument]) -> ForgedJournal:
        return ForgedJournal(self.journal, documents)


@cache
def lived(seed: int) -> Lived:
    """Every kind of entry in several dozen documents; the last life is a long one, of one account."""
    if seed == LIVES - 1:
        life = Life(seed)
        life.simulation.run(lambda: life.live(400))
        outside = life.outside
    else:
        simulation = Simulation(seed)
        outside = Outside(simulation, CALM)
        simulation.run(Storm(simulation, outside).world)
    documents = SimulatedRuntime().run(lambda: outside.journal.after(BOOK, 0, limit=100_000))
    return Lived(tuple(documents), outside.journal, outside.checkpoints)


class ForgedJournal(MemoryJournal):
    """Its indexes are those of the true one, as where somebody edited a document in place."""

    def __init__(self, true: MemoryJournal, documents: Sequence[JournalDocument]) -> None:
        super().__init__()
        self._keys = true._keys
        self._documents[BOOK] = list(documents)


def proved(
    journal: Journal, checkpoints: Checkpoints | None = None, expected: ExpectedHead | None = None
) -> Verification:
    runtime = SimulatedRuntime()

    async def main() -> Verification:
        async with runtime.running():
            beside = checkpoints or MemoryCheckpoints()
            return await verify(journal, beside, BOOK, runtime=runtime, expected=expected)

    return runtime.run(main)


def first_wrong(verification: Verification) -> int:
    assert verification.problem is not None, "nothing was found"
    return verification.problem.seq


def sealed_anew(documents: Sequence[JournalDocument], head: Head) -> list[JournalDocument]:
    """With the digests that their contents and their places ask for."""
    after: list[JournalDocument] = []
    for each in documents:
        after.append(seal(each.book, head, each.entries, time_ms=each.time_ms, nonce=each.nonce))
        head = after[-1].head
    return after


def can_be_sealed(document: JournalDocument) -> bool:
    """A digest is made of entries whose causes are such."""
    return all(
        not isinstance(entry, TransferPosted) or isinstance(entry.cause, Cause | None)
        for entry in document.entries
    )


def with_entry(document: JournalDocument, place: int, entry: Entry) -> JournalDocument:
    entries = list(document.entries)
    entries[place] = entry
    return replace(document, entries=tuple(entries))


@st.composite
def edited(draw: st.DrawFn, value: Any) -> Any:
    """The value with one thing changed somewhere in it."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + draw(st.sampled_from((-1, 1, 7, 2**63)))
    if isinstance(value, str):
        return draw(st.sampled_from((value + "x", value[1:] if value else "x", "другой")))
    if value is None:
        return draw(st.sampled_from((0, "x")))
    if hasattr(value, "_fields"):
        name = draw(st.sampled_from(value._fields))
        return value._replace(**{name: draw(edited(getattr(value, name)))})
    assert isinstance(value, tuple)
    if not value or draw(st.booleans()):
        return (*value, value[0]) if value else ("x",)
    place = draw(st.integers(0, len(value) - 1))
    if draw(st.booleans()):
        return value[:place] + value[place + 1 :]
    return (*value[:place], draw(edited(value[place])), *value[place + 1 :])


lives = st.integers(0, LIVES - 1).map(lived)
