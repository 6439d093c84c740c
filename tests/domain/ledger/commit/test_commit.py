"""The commit machine, driven by every fate that a journal and its other writers may have in store."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.ledger.commands import Command, Submission
from domain.ledger.commit import machine, sizes
from domain.ledger.commit.cases import CASES, Phase, Step
from domain.ledger.commit.decider import LOOKS_MAX
from domain.ledger.commit.effects import (
    Adopted,
    AppendDocument,
    AwaitTurn,
    CatchUp,
    Finished,
    GaveUp,
    Load,
    Loaded,
    LookUp,
    Moment,
    TurnCame,
)
from domain.ledger.commit.machine import Commit, CommitLimits
from domain.ledger.entries import Refused
from domain.ledger.outcomes import CommandOutcome, Posted, Rejection
from tests.domain.ledger.asking import one, opening, received, transfer
from tests.domain.ledger.commit.world import BOOK, LIMITS, Fate, Life, World, drawn_batch, numbered
from tests.domain.ledger.play import Play, named
from tests.seeds import seeds

PROJECT = Path(__file__).parents[4]
COMMITS_A_LIFE = 3


def lived(draw: Random) -> World:
    """A world in which several batches were committed, one after the other, and all is settled."""
    fate = Fate(draw)
    world = World(fate)
    for _ in range(COMMITS_A_LIFE):
        hold_true(world.commit(drawn_batch(fate)))
    fate.calm = True
    last = world.commit(drawn_batch(fate))
    assert isinstance(last.end, Finished)
    hold_true(last)
    assert world.unsettled is None
    assert world.view.head == world.truth.head
    return world


def hold_true(life: Life) -> None:
    """Each outcome is what the truth of some moment within the commit gives."""
    if isinstance(life.end, GaveUp):
        return
    assert len(life.outcomes) == len(life.batch)
    for submission, results in zip(life.batch, life.outcomes, strict=True):
        assert len(results) == len(submission.commands)
        for index, outcome in enumerate(results):
            if isinstance(outcome, Posted):
                _hold_posted(life, submission.commands[index].keys[0], outcome)
            else:
                _hold_rejected(life, submission, results, index)


def _hold_posted(life: Life, key: str, outcome: Posted) -> None:
    recorded = outcome.recorded
    truth = life.truths[-1]
    assert truth.known[key].entry == recorded.entry
    document = truth.documents[recorded.seq - 1]
    assert recorded.entry in document.entries
    if not outcome.replayed:
        assert document.nonce in life.nonces


def _hold_rejected(life: Life, submission: Submission, results: Sequence[CommandOutcome], index: int) -> None:
    posted = {"posted", "replayed"}
    if submission.atomic:
        # Which of its commands fails hangs on the rest of the batch; that one does must not.
        assert any(set(_answers(truth, submission)) - posted for truth in life.truths)
    else:
        command = submission.commands[index]
        said, alone = named(results[index]), one(command)
        assert any(_answers(truth, alone) == [said] for truth in life.truths), said
        for truth in _before_refusal(life, command):
            assert not [key for key in command.keys if key in truth.known], "a repeat was refused for good"


def _before_refusal(life: Life, command: Command) -> Sequence[Play]:
    """The truth that a refusal was recorded on, if this commit has recorded one."""
    last = life.truths[-1]
    recorded = last.known.get(command.keys[-1])
    if recorded is None or not isinstance(recorded.entry, Refused):
        return ()
    if recorded.entry.reason == Rejection.IDEMPOTENCY_CONFLICT.value:
        return ()  # An id that was used for something else is refused as such.
    is_own = last.documents[recorded.seq - 1].nonce in life.nonces
    return [truth for truth in life.truths if is_own and truth.head.seq == recorded.seq - 1]


def _answers(truth: Play, submission: Submission) -> list[str]:
    (outcomes,) = truth.decided([submission], truth.now_ms).outcomes
    return [named(outcome) for outcome in outcomes]


@given(st.randoms(use_true_random=False))
def test_every_outcome_is_true_of_a_moment_between_question_and_answer(draw: Random) -> None:
    lived(draw)


def test_every_case_of_the_table_happens_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    happened: dict[Phase, set[Step]] = defaultdict(set)

    class Noted(dict[Step, Phase]):
        def __init__(self, phase: Phase, cases: Mapping[Step, Phase]) -> None:
            super().__init__(cases)
            self._phase = phase

        def __getitem__(self, step: Step) -> Phase:
            happened[self._phase].add(step)
            return super().__getitem__(step)

    monkeypatch.setattr(machine, "CASES", {phase: Noted(phase, cases) for phase, cases in CASES.items()})
    for seed in seeds(400):
        lived(Random(seed))
    # What takes a bound is tried below, and what is too large.
    rare = {
        (Phase.DECIDING, Step.BOUND_REACHED),
        (Phase.DECIDING, Step.TOO_LARGE),
        (Phase.TURN, Step.BOUND_REACHED),
    }
    missing = {
        (phase, step) for phase, cases in CASES.items() for step in cases if step not in happened[phase]
    }
    assert missing <= rare


def test_all_phases_lie_between_the_beginning_and_an_end() -> None:
    assert set(CASES) == set(Phase)
    reached, found = set[Phase](), {Phase.NEW}
    while found:
        reached |= found
        found = {after for phase in found for after in CASES[phase].values()} - reached
    assert reached == set(Phase)
    assert {phase for phase, cases in CASES.items() if not cases} == {Phase.FINISHED, Phase.FAILED}


def test_a_rejection_repeats_nothing_that_its_own_document_posts_after_it() -> None:
    world = World(Fate(Random(0)))
    world.fate.calm = True
    spent = transfer("alice", "bob", 500, id="large")
    batch = [one(spent), one(received("alice", 1_000, id="in-between")), one(spent)]
    outcomes = [named(outcome) for (outcome,) in world.commit(batch).outcomes]
    assert outcomes == ["insufficient_funds", "posted", "posted"]


def test_what_a_reader_learns_before_the_tail_is_read_outdates_a_rejection() -> None:
    commit, world = begun([one(transfer("alice", "bob", 500, id="large"))])
    effect = commit.advance(TurnCame(gave_way=False), moment())
    while not isinstance(effect, CatchUp):
        effect = commit.advance(world.carried_out(effect), moment())
    world.truth.commit([one(received("alice", 1_000, id="rival"))], time_ms=world.truth.now_ms)
    world.view.catch_up()
    effect = commit.advance(world.carried_out(effect), moment())
    assert isinstance(effect, LookUp)
    assert isinstance(commit.advance(world.carried_out(effect), moment()), AwaitTurn)


def test_states_of_different_documents_are_not_decided_on() -> None:
    commit, world = begun([one(numbered(1))])
    world.truth.commit([one(numbered(2))], time_ms=world.truth.now_ms)
    effect = commit.advance(TurnCame(gave_way=False), moment())
    assert isinstance(effect, Load)
    assert world.view.head != world.truth.head
    assert isinstance(commit.advance(world.carried_out(effect), moment()), CatchUp)


def test_the_drawing_of_the_cases_is_the_table() -> None:
    text = (PROJECT / "docs" / "flows" / "transfer.md").read_text(encoding="utf-8")
    drawn = set(re.findall(r"^    (\w+) --> (\w+): (\w+)$", text, re.MULTILINE))
    assert drawn == {
        (phase.name, after.name, step.name) for phase, cases in CASES.items() for step, after in cases.items()
    }


# --- bounds


def moment(at_s: float = 0.0) -> Moment:
    return Moment(1_000, at_s)


def begun(batch: Sequence[Submission], *, limits: CommitLimits = LIMITS) -> tuple[Commit, World]:
    world = World(Fate(Random(0)))
    world.fate.calm = True
    commit = Commit(BOOK, batch, world.view, nonce="n" * 32, limits=limits)
    assert isinstance(commit.begin(moment()), AwaitTurn)
    return commit, world


def test_a_writer_that_always_loses_gives_up_after_so_many_decisions() -> None:
    world = World(Fate(Random(0)))
    batch = [one(opening("carol"))]
    commit = Commit(BOOK, batch, world.view, nonce="n" * 32, limits=CommitLimits(decisions_max=3))
    effect = commit.begin(moment())
    decisions = 0
    while not isinstance(effect, GaveUp):
        if isinstance(effect, AppendDocument):
            decisions += 1
            world.truth.commit([one(numbered(decisions))], time_ms=world.truth.now_ms)
        effect = commit.advance(world.carried_out(effect), moment())
    assert decisions == 3
    assert effect.reason == "other writers were faster too often"
    assert commit.pending is None


def test_a_writer_that_always_loses_gives_up_after_so_long() -> None:
    commit, world = begun([one(opening("carol"))], limits=CommitLimits(deciding_s_max=5.0))
    effect = commit.advance(TurnCame(gave_way=True), moment(4.0))
    assert isinstance(effect, CatchUp)
    while not isinstance(effect, AppendDocument):
        effect = commit.advance(world.carried_out(effect), moment(4.0))
    world.truth.commit([one(numbered(1))], time_ms=world.truth.now_ms)
    while not isinstance(effect, GaveUp):
        effect = commit.advance(world.carried_out(effect), moment(5.0))
    assert commit.pending is None


def test_states_that_are_never_there_are_loaded_so_often_and_no_more() -> None:
    commit, _ = begun([one(numbered(1))])
    effect = commit.advance(TurnCame(gave_way=False), moment())
    loads = 0
    while isinstance(effect, Load):
        loads += 1
        effect = commit.advance(Loaded(), moment())
    assert loads == LOOKS_MAX
    assert effect == GaveUp("the journal grew faster than it could be read")


# --- what is too large


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_a_batch_in_parts_has_the_outcomes_of_the_whole(parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = [numbered(number) for number in range(6)]
    batch = [Submission(tuple(commands[:4])), one(commands[4]), one(commands[5]), one(numbered(1))]
    whole = World(Fate(Random(0)))
    whole.fate.calm = True
    expected = whole.commit(batch).outcomes
    monkeypatch.setattr(sizes, "OUTCOME_BYTES_MAX", 6 // parts * 2 * sizes.ENTRY_BYTES)
    monkeypatch.setattr(sizes, "PART_BYTES", 0)
    cut = World(Fate(Random(0)))
    cut.fate.calm = True
    outcomes = cut.commit(batch).outcomes
    assert [list(map(named, each)) for each in outcomes] == [list(map(named, each)) for each in expected]
    assert len(cut.truth.documents) >= 1 + parts


def test_what_has_to_be_posted_whole_goes_into_one_document_however_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sizes, "OUTCOME_BYTES_MAX", 0)
    world = World(Fate(Random(0)))
    world.fate.calm = True
    world.commit([Submission((numbered(0), numbered(1)), atomic=True)])
    assert len(world.truth.documents) == 2


# --- misuse


def test_a_commit_begins_once_and_takes_only_answers_to_what_it_asked() -> None:
    commit, _ = begun([one(numbered(1))])
    with pytest.raises(RuntimeError):
        commit.begin(moment())
    with pytest.raises(RuntimeError, match="Adopted does not answer TURN"):
        commit.advance(Adopted(), moment())
