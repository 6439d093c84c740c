"""The limiter's verdicts in HTTP's words, read as a client would read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import http_sf
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.asgi.rate_limits import INTEGER_MAX, limit_refusal, quota_headers
from domain.limits.admission import Admission, Charge, Standing, Verdict
from domain.limits.identifiers import Identifier, IdentifierType
from domain.limits.windows import LIMIT_PERIOD_MAX, Algorithm, Policy
from ports.runtime import Runtime
from tests.adapters.web.client import Reply
from tests.adapters.web.service import Options, TestService, open_service
from tests.conformance.runtimes import Driver

REQUESTS_MAX = 50
ADDRESS = Identifier(IdentifierType.IP, "192.0.2.7")

POLICIES = st.builds(
    lambda name, limit, period_ms, algorithm: Policy(
        name, min(limit, LIMIT_PERIOD_MAX // period_ms), period_ms, algorithm
    ),
    st.from_regex(r"[a-z0-9_.-]{1,64}", fullmatch=True),
    st.integers(1, LIMIT_PERIOD_MAX),
    st.integers(1, 366 * 86_400_000),
    st.sampled_from(Algorithm),
)
STANDINGS = st.builds(
    lambda policy, share, reset_ms: Standing(Charge(ADDRESS, policy), int(policy.limit * share), reset_ms),
    POLICIES,
    st.floats(0, 1),
    st.integers(0, 2**50),
)


def parsed(text: str) -> list[tuple[str, Mapping[str, Any]]]:
    """As a list of items with parameters (RFC 9651), by a parser that is not ours."""
    found: Any = http_sf.parse(text.encode(), tltype="list")
    return list(found)


def fields(admission: Admission) -> tuple[list[Any], list[Any]]:
    headers = {name.decode(): value.decode() for name, value in quota_headers(admission)}
    return parsed(headers["ratelimit-policy"]), parsed(headers["ratelimit"])


@given(st.lists(STANDINGS, min_size=1, max_size=5), st.sampled_from(Verdict), st.integers(0, 2**45))
def test_the_fields_are_what_the_draft_says(
    standings: list[Standing], verdict: Verdict, retry_after_ms: int
) -> None:
    admission = Admission(verdict, retry_after_ms, ADDRESS, tuple(standings))
    policies, limits = fields(admission)
    assert len(policies) == len(limits) == len(standings)
    for standing, (name, policy), (named, limit) in zip(standings, policies, limits, strict=True):
        assert name == named == standing.charge.policy.name
        assert set(policy) == {"q", "w"}
        assert set(limit) == {"r", "t"}
        assert all(type(value) is int for value in (*policy.values(), *limit.values()))
        assert policy["q"] == min(standing.charge.policy.limit, INTEGER_MAX)
        assert policy["w"] * 1_000 >= standing.charge.policy.period_ms > (policy["w"] - 1) * 1_000
        assert 0 <= limit["r"] <= policy["q"]
        assert limit["t"] >= 0
    refused = limit_refusal(admission)
    if refused is not None and verdict is not Verdict.REVOKED:
        (wait,) = [int(value) for name, value in refused.headers if name == "Retry-After"]
        # Never earlier than the truth, nor than the end of a window that is told to be shut.
        assert wait * 1_000 >= retry_after_ms
        assert all(limit["t"] <= wait for _, limit in limits)


def test_nothing_is_said_of_who_was_not_counted() -> None:
    assert quota_headers(Admission(Verdict.ALLOWED)) == []
    assert limit_refusal(Admission(Verdict.ALLOWED)) is None


async def until_not(service: TestService, *statuses: int, step_ms: int = 0) -> Reply:
    """The first answer of another status."""
    for _ in range(REQUESTS_MAX):
        reply = await service.client.request("GET", "/")
        if reply.status not in statuses:
            return reply
        service.clock.at_ms += step_ms
    raise AssertionError(f"{REQUESTS_MAX} answers, all of {statuses}")


@pytest.mark.parametrize("algorithm", Algorithm)
def test_who_waits_as_told_is_let_in(run_real: Driver, algorithm: Algorithm) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(windows=algorithm, ip="3/10s"))
        service.clock.at_ms += 1_234
        for _ in range(4):
            reply = await until_not(service, 200, step_ms=777)
            assert (reply.status, reply.code) == (429, "quota_exceeded")
            problem = reply.json()
            assert problem["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
            assert problem["violated-policies"] == ["ip"]
            wait_s = int(reply.header("retry-after"))
            assert problem["retry_after"] == wait_s
            ((_, limit),) = parsed(reply.header("ratelimit"))
            assert limit == {"r": 0, "t": limit["t"]}
            assert limit["t"] <= wait_s
            service.clock.at_ms += wait_s * 1_000
            assert (await service.client.request("GET", "/")).status == 200

    run_real(body)


def test_who_waits_out_a_ban_as_told_is_let_in(run_real: Driver) -> None:
    async def body(runtime: Runtime) -> None:
        service = open_service(runtime, Options(ip="1/60s"))
        reply = await until_not(service, 200, 429)
        assert (reply.code, reply.all("ratelimit")) == ("banned", [])
        wait_s = int(reply.header("retry-after"))
        assert reply.json()["retry_after"] == wait_s
        service.clock.at_ms += wait_s * 1_000
        service.rate_limiter._denials.forget()
        assert (await service.client.request("GET", "/")).status == 200

    run_real(body)
