"""Messages of a user: one limit over connections and workers, with few questions to the limiter."""

from __future__ import annotations

import pytest

from application.limits.message_limiter import ALLOWANCE_PARTS, ALLOWANCE_S_MAX, USERS_MAX, MessageLimiter
from domain.limits.identifiers import Identifier, IdentifierType
from ports.limits.message_limit import MessageVerdict
from ports.runtime import Runtime
from tests.application.limits.limiter_bench import Bench, simulated

LIMIT = 100
"""Of the bench's policy, in a minute."""


def worker(bench: Bench) -> MessageLimiter:
    return MessageLimiter(admit=bench.rates.admit_messages, limit=LIMIT, runtime=bench.runtime)


def test_who_speaks_fast_costs_few_questions_and_is_stopped_at_the_limit() -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        workers = [worker(bench) for _ in range(3)]
        verdicts = [await workers[number % 3].take("usr_1") for number in range(LIMIT)]
        admitted = verdicts.count(MessageVerdict.ALLOWED)
        # What other workers hold of allowances may be lost, and nothing is admitted twice.
        assert LIMIT - 3 * LIMIT // ALLOWANCE_PARTS <= admitted <= LIMIT
        for _ in range(LIMIT):
            verdicts += [await each.take("usr_1") for each in workers]
        assert verdicts.count(MessageVerdict.ALLOWED) <= LIMIT
        questions = [asked for asked, _, _ in bench.limiter.asked if asked == ["user:messages"]]
        assert len(questions) < LIMIT

    simulated(body)


def test_one_worker_spends_every_message_of_the_window_and_none_more() -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        limiter = worker(bench)
        verdicts = [await limiter.take("usr_1") for _ in range(LIMIT)]
        assert verdicts == [MessageVerdict.ALLOWED] * LIMIT
        assert len(bench.limiter.asked) <= LIMIT // 3
        # One message too many is one violation, as anywhere.
        assert await limiter.take("usr_1") is MessageVerdict.OVER_LIMIT
        user = Identifier(IdentifierType.USER, "usr_1")
        assert (await bench.limiter.status(user, ())).violations == 1
        verdicts = [await limiter.take("usr_1") for _ in range(5)]
        assert verdicts[-1] is MessageVerdict.BANNED
        assert (await bench.rates.admit(address="203.0.113.9", user_id="usr_1")).verdict.value == "banned"
        # Somebody else is not concerned.
        assert await limiter.take("usr_2") is MessageVerdict.ALLOWED

    simulated(body)


@pytest.mark.parametrize("pause_s", [1.0, 5.0, 2 * ALLOWANCE_S_MAX])
def test_who_speaks_slowly_takes_what_is_said_and_no_more(pause_s: float) -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        limiter = worker(bench)
        for _ in range(3):
            assert await limiter.take("usr_1") is MessageVerdict.ALLOWED
            await runtime.sleep(pause_s)
        user = Identifier(IdentifierType.USER, "usr_1")
        status = await bench.limiter.status(user, bench.rates.charges_of(user))
        assert dict(status.windows)["messages"] <= 3

    simulated(body)


def test_without_the_limiter_each_process_counts_for_itself() -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        bench.limiter.is_away = True
        limiter = worker(bench)
        verdicts = [await limiter.take("usr_1") for _ in range(LIMIT + 1)]
        assert verdicts == [MessageVerdict.ALLOWED] * LIMIT + [MessageVerdict.OVER_LIMIT]

    simulated(body)


def test_the_memory_of_allowances_is_bounded() -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        limiter = worker(bench)
        for number in range(USERS_MAX + 10):
            await limiter.take(str(number))
        assert len(limiter._allowances) == USERS_MAX

    simulated(body)
