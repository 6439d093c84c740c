"""What every way of handing commands over promises, whatever carries it."""

from __future__ import annotations

import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from adapters.worker_link.link import ANSWER_S_MAX, GREETING_S_MAX, LOOK_INTERVAL_S, QUIET_LOOKS_MAX
from adapters.worker_link.worker_link import BOOKS_MAX, StreamWorkerLink
from domain.ledger.commands import Submission
from domain.ledger.outcomes import Outcomes, Posted, Rejected, Rejection
from ports.errors import DependencyUnavailable, OutcomeUnknown
from ports.ledger.worker_link import Declined, LinkUnusable, WorkerLink
from ports.runtime import Overloaded, Runtime
from tests.conformance.runtimes import Driver
from tests.conformance.worker_links import BOOK, Holder, held, host_of, outcome_of, reached, transfer
from tests.simulation.one_host import OneHost
from tests.simulation.runtime.simulated_runtime import SimulatedRuntime, Simulation

OnWorkerLink = Callable[[Callable[[Runtime, WorkerLink, Holder], Awaitable[None]]], None]


@pytest.fixture
def on_worker_link(run: Driver, tmp_path: Path) -> OnWorkerLink:
    def on(body: Callable[[Runtime, WorkerLink, Holder], Awaitable[None]]) -> None:
        async def main(runtime: Runtime) -> None:
            await body(runtime, StreamWorkerLink(runtime, host_of(runtime, tmp_path)), Holder(runtime))

        run(main)

    return on


def test_every_submission_gets_its_own_answer(on_worker_link: OnWorkerLink) -> None:
    async def body(runtime: Runtime, worker_link: WorkerLink, holder: Holder) -> None:
        holding = await held(worker_link, holder)
        link = await reached(worker_link)

        async def ask(name: str) -> None:
            submissions = [transfer(f"{name}-{place}", '{"é":"\\u0000"}') for place in range(3)]
            answered = await link.submit(submissions)
            assert [type(outcome) for (outcome,) in answered] == [Posted] * 3
            seqs = [outcome.recorded.seq for (outcome,) in answered if isinstance(outcome, Posted)]
            assert list(answered) == [
                outcome_of(each, seq) for each, seq in zip(submissions, seqs, strict=True)
            ]

        tasks = [runtime.start(lambda name=f"caller{place}": ask(name), name="ask") for place in range(20)]  # type: ignore[misc]
        for task in tasks:
            await task.wait()
        assert sum(holder.served) == 60
        link.close()
        await holding.release()

    on_worker_link(body)


def test_callers_of_one_moment_share_a_request(run: Driver, tmp_path: Path) -> None:
    async def body(runtime: Runtime) -> None:
        worker_link, holder = StreamWorkerLink(runtime, host_of(runtime, tmp_path)), Holder(runtime)
        holding = await held(worker_link, holder)
        link = await reached(worker_link)
        tasks = [
            runtime.start(lambda name=f"t{place}": link.submit([transfer(name)]), name="ask")  # type: ignore[misc]
            for place in range(50)
        ]
        for task in tasks:
            await task.wait()
        assert sum(holder.served) == 50
        # A simulated schedule decides itself which moment that is.
        assert len(holder.served) <= 2 or runtime.name == "simulated"
        link.close()
        await holding.release()

    run(body)


def test_a_request_need_not_wait_for_the_answer_to_another(on_worker_link: OnWorkerLink) -> None:
    async def body(runtime: Runtime, worker_link: WorkerLink, holder: Holder) -> None:
        holder.may_answer = runtime.event()
        holding = await held(worker_link, holder)
        link = await reached(worker_link)
        first = runtime.start(lambda: link.submit([transfer("first")]), name="first")
        while len(holder.served) < 1:
            await runtime.sleep(0.001)
        second = runtime.start(lambda: link.submit([transfer("second")]), name="second")
        while len(holder.served) < 2:
            await runtime.sleep(0.001)
        holder.may_answer.set()
        await first.wait()
        await second.wait()
        link.close()
        await holding.release()

    on_worker_link(body)


def test_much_at_once_goes_in_several_requests_and_answers(on_worker_link: OnWorkerLink) -> None:
    async def body(_runtime: Runtime, worker_link: WorkerLink, holder: Holder) -> None:
        holding = await held(worker_link, holder)
        link = await reached(worker_link)
        submissions = [transfer(f"t{place}", '"' + "x" * 30_000 + '"') for place in range(200)]
        answered = await link.submit(submissions)
        assert [outcome.recorded.entry.keys for (outcome,) in answered if isinstance(outcome, Posted)] == [
            (f"t:t{place}",) for place in range(200)
        ]
        assert len(holder.served) > 1
        with pytest.raises(LinkUnusable):
            await link.submit([transfer("large", "x" * (17 * 1024 * 1024))])
        link.close()
        await holding.release()

    on_worker_link(body)


@pytest.mark.parametrize(
    "error",
    [Overloaded("full"), DependencyUnavailable("mongo", "no primary: gone"), DependencyUnavailable("x")],
)
def test_what_the_holder_raises_is_raised_where_it_was_asked(
    on_worker_link: OnWorkerLink, error: Exception
) -> None:
    async def body(_runtime: Runtime, worker_link: WorkerLink, holder: Holder) -> None:
        holder.error = error
        holding = await held(worker_link, holder)
        link = await reached(worker_link)
        with pytest.raises(type(error)) as raised:
            await link.submit([transfer("t1")])
        assert str(raised.value) == str(error)
        holder.error = ZeroDivisionError("a bug")
        with pytest.raises(DependencyUnavailable):
            await link.submit([transfer("t1")])
        holder.error = None
        await link.submit([transfer("t1")])
        link.close()
        await holding.release()

    on_worker_link(body)


class Int64(int):
    """As a store's driver gives large integers."""


def test_an_outcome_that_was_read_from_a_store_travels_like_any_other(on_worker_link: OnWorkerLink) -> None:
    async def body(_runtime: Runtime, worker_link: WorkerLink, _holder: Holder) -> None:
        async def serve(submissions: Sequence[Submission]) -> Outcomes:
            return [outcome_of(each, Int64(2**40)) for each in submissions]

        holding = await worker_link.hold(BOOK, serve)
        assert holding is not None
        link = await reached(worker_link)
        ((outcome,),) = await link.submit([transfer("t1")])
        assert isinstance(outcome, Posted)
        assert (outcome.recorded.seq, type(outcome.recorded.seq)) == (2**40, int)
        link.close()
        await holding.release()

    on_worker_link(body)


def test_a_rejection_travels(on_worker_link: OnWorkerLink) -> None:
    async def body(_runtime: Runtime, worker_link: WorkerLink, _holder: Holder) -> None:
        rejected = (Rejected(Rejection.INSUFFICIENT_FUNDS),)

        async def serve(submissions: Sequence[Submission]) -> Outcomes:
            return [rejected for _ in submissions]

        holding = await worker_link.hold(BOOK, serve)
        assert holding is not None
        link = await reached(worker_link)
        assert list(await link.submit([transfer("t1")])) == [rejected]
        link.close()
        await holding.release()

    on_worker_link(body)


def test_a_book_has_one_holder_and_books_do_not_meet(on_worker_link: OnWorkerLink) -> None:
    async def body(_runtime: Runtime, worker_link: WorkerLink, holder: Holder) -> None:
        assert await worker_link.reach(BOOK) is None
        holding = await held(worker_link, holder)
        assert await worker_link.hold(BOOK, holder.serve) is None
        assert await worker_link.reach("other/../book") is None
        other = await held(worker_link, holder, "other/../book")
        await holding.release()
        assert await worker_link.reach(BOOK) is None
        again = await held(worker_link, holder)
        await again.release()
        await other.release()

    on_worker_link(body)


def test_whoever_lets_go_answers_what_it_took_and_says_what_it_did_not(on_worker_link: OnWorkerLink) -> None:
    async def body(runtime: Runtime, worker_link: WorkerLink, holder: Holder) -> None:
        holder.may_answer = runtime.event()
        holding = await held(worker_link, holder)
        link = await reached(worker_link)
        taken = runtime.start(lambda: link.submit([transfer("taken")]), name="taken")
        while not holder.served:
            await runtime.sleep(0.001)
        releasing = runtime.start(holding.release, name="release")
        while (other := await worker_link.reach(BOOK)) is not None:
            other.close()
            await runtime.sleep(0.001)
        with pytest.raises(Declined):
            await link.submit([transfer("late")])
        assert await worker_link.hold(BOOK, holder.serve) is None
        holder.may_answer.set()
        await taken.wait()
        await releasing.wait()
        await link.ended()
        assert holder.served == [1]
        again = await held(worker_link, holder)
        await again.release()

    on_worker_link(body)


def test_a_worker_that_leaves_harms_neither_the_holder_nor_the_others(on_worker_link: OnWorkerLink) -> None:
    async def body(runtime: Runtime, worker_link: WorkerLink, holder: Holder) -> None:
        holder.may_answer = runtime.event()
        holding = await held(worker_link, holder)
        leaving, staying = await reached(worker_link), await reached(worker_link)

        async def cut_off() -> None:
            with pytest.raises(OutcomeUnknown):
                await leaving.submit([transfer("t1")])

        cut = runtime.start(cut_off, name="leaving")
        while not holder.served:
            await runtime.sleep(0.001)
        leaving.close()
        await cut.wait()
        await leaving.ended()
        holder.may_answer.set()
        await staying.submit([transfer("t2")])
        staying.close()
        await holding.release()

    on_worker_link(body)


def test_more_books_than_there_may_be_descriptors_for_are_not_shared(on_worker_link: OnWorkerLink) -> None:
    async def body(_runtime: Runtime, worker_link: WorkerLink, holder: Holder) -> None:
        holdings = [await held(worker_link, holder, f"book-{place}") for place in range(BOOKS_MAX)]
        with pytest.raises(LinkUnusable):
            await worker_link.hold(BOOK, holder.serve)
        for holding in holdings:
            await holding.release()
        await (await held(worker_link, holder)).release()

    on_worker_link(body)


def test_an_answer_that_does_not_come_is_given_up() -> None:
    runtime = SimulatedRuntime(3)

    async def main() -> None:
        async with runtime.running():
            worker_link = StreamWorkerLink(runtime, OneHost(runtime.simulation).seen_by(runtime, "worker"))
            holder = Holder(runtime, may_answer=runtime.event())
            await held(worker_link, holder)
            link = await reached(worker_link)
            began_s = runtime.monotonic()
            with pytest.raises(DependencyUnavailable):
                await link.submit([transfer("t1")])
            assert ANSWER_S_MAX < runtime.monotonic() - began_s < ANSWER_S_MAX + 3
            assert link.is_silent
            assert holder.may_answer is not None
            holder.may_answer.set()
            await link.submit([transfer("t2")])
            assert not link.is_silent

    runtime.run(main)


@pytest.mark.parametrize("idle_s", [0.0, LOOK_INTERVAL_S * 1.5])
def test_a_holder_that_says_nothing_is_given_up(idle_s: float) -> None:
    simulation = Simulation(5)
    host = OneHost(simulation)
    holding, asking = simulation.process("holding"), simulation.process("asking")

    async def hold() -> None:
        async with holding.running():
            await held(StreamWorkerLink(holding, host.seen_by(holding, "holding")), Holder(holding))
            await holding.sleep(60)

    async def ask() -> None:
        async with asking.running():
            link = await reached(StreamWorkerLink(asking, host.seen_by(asking, "asking")))
            await link.submit([transfer("t1")])
            await asking.sleep(idle_s)
            host.freeze(holding)
            began_s = asking.monotonic()
            with pytest.raises(OutcomeUnknown):
                await link.submit([transfer("t2")])
            assert asking.monotonic() - began_s <= LOOK_INTERVAL_S * (QUIET_LOOKS_MAX + 1) + 0.1
            assert link.is_silent
            # Nothing more is handed to it, and nobody waits for it again.
            began_s = asking.monotonic()
            with pytest.raises(LinkUnusable):
                await link.submit([transfer("t3")])
            assert asking.monotonic() - began_s < LOOK_INTERVAL_S

    async def world() -> None:
        holding.launch(hold)
        await simulation.outside.sleep(0.1)
        await asking.launch(ask).wait()

    simulation.run(world)


def test_a_new_link_to_a_holder_that_says_nothing_is_silent_from_the_start() -> None:
    simulation = Simulation(5)
    host = OneHost(simulation)
    holding, asking = simulation.process("holding"), simulation.process("asking")

    async def hold() -> None:
        async with holding.running():
            await held(StreamWorkerLink(holding, host.seen_by(holding, "holding")), Holder(holding))
            await holding.sleep(60)

    async def ask() -> None:
        async with asking.running():
            began_s = asking.monotonic()
            link = await reached(StreamWorkerLink(asking, host.seen_by(asking, "asking")))
            assert link.is_silent
            assert asking.monotonic() - began_s <= GREETING_S_MAX + 0.1

    async def world() -> None:
        holding.launch(hold)
        await simulation.outside.sleep(0.1)
        host.freeze(holding)
        await asking.launch(ask).wait()

    simulation.run(world)


def test_a_holder_learns_that_others_cannot_find_it_any_more(
    on_worker_link: OnWorkerLink, tmp_path: Path
) -> None:
    async def body(runtime: Runtime, worker_link: WorkerLink, holder: Holder) -> None:
        holding = await held(worker_link, holder)
        if runtime.name != "simulated":
            shutil.rmtree(tmp_path)
            await holding.lost()
            # Whoever needs the directory makes it again.
            again = await held(worker_link, holder)
            link = await reached(worker_link)
            await link.submit([transfer("t1")])
            await holding.release()
            await link.submit([transfer("t2")])
            link.close()
            await again.release()
        else:
            await holding.release()
        await holding.lost()

    on_worker_link(body)
    assert tmp_path.stat().st_mode & 0o777 == 0o700
