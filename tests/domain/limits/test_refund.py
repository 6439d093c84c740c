"""What was taken and refused elsewhere is given back, and never more than that."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domain.limits.windows import UNUSED, Algorithm, Policy, peek, refund, take
from tests.domain.limits.test_windows import oracle_allows, run, small_policies, steps


@given(small_policies, st.integers(0, 2**41), steps, st.integers(1, 12))
def test_given_back_at_once_a_window_stands_as_before(
    policy: Policy, origin_ms: int, script: list[tuple[int, int]], wished: int
) -> None:
    state, now_ms, _ = run(policy, origin_ms, script)
    cost = min(wished, policy.limit)
    decision, after = take(policy, state, now_ms, cost)
    if decision.allowed:
        returned = refund(policy, after, after.since_ms, cost)
        for later_ms in range(2 * policy.period_ms + 2):
            assert peek(policy, returned, now_ms + later_ms) == peek(policy, state, now_ms + later_ms)


@given(
    small_policies,
    st.integers(0, 2**41),
    st.lists(st.tuples(st.integers(0, 40), st.integers(1, 12), st.integers(-1, 3)), max_size=50),
)
def test_whatever_is_given_back_and_when_nobody_is_admitted_whom_the_kept_requests_leave_no_room(
    policy: Policy, origin_ms: int, script: list[tuple[int, int, int]]
) -> None:
    """Each request is kept (-1) or given back so many requests later; the oracle knows the kept ones only.

    Fixed and sliding windows also admit everybody for whom there is room once nothing is lent.
    """
    state, now_ms = UNUSED, origin_ms
    kept: list[tuple[int, int]] = []
    lent: list[tuple[int, int, int]] = []
    for number, (wait_ms, wished, returned_after) in enumerate(script):
        now_ms += wait_ms
        for due, taken_ms, cost in [loan for loan in lent if loan[0] <= number]:
            state = refund(policy, state, taken_ms, cost)
            lent.remove((due, taken_ms, cost))
        cost = min(wished, policy.limit)
        decision, state = take(policy, state, now_ms, cost)
        room = oracle_allows(policy, kept, now_ms, cost)
        assert room or not decision.allowed
        if not lent and policy.algorithm is not Algorithm.GCRA:
            assert decision.allowed == room
        if decision.allowed and returned_after < 0:
            kept.append((now_ms, cost))
        elif decision.allowed:
            lent.append((number + 1 + returned_after, state.since_ms, cost))
