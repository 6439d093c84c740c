"""What has ended is refused and closed by every process, for each looks where it is kept."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from application.identity.revocation_watch import (
    BANS_INTERVAL_S,
    BATCH_MAX,
    POLL_INTERVAL_S,
    READ_MAX,
    WIDE_INTERVAL_S,
    WIDE_OVERLAP_MS,
    RecentlyRevoked,
    RevocationWatch,
)
from application.identity.revocations import REVOCATION_MS
from domain.limits.admission import Verdict
from domain.limits.identifiers import Identifier, IdentifierType
from domain.realtime.events import CloseCode
from ports.errors import DependencyUnavailable
from ports.runtime import Runtime
from tests.application.limits.limiter_bench import Bench, simulated

ONE_LOOK_S = 1.5 * POLL_INTERVAL_S


@dataclass(slots=True)
class Connected:
    """Who is connected, and who was sent away how."""

    sessions: list[str] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    closed: list[tuple[str, CloseCode]] = field(default_factory=list)

    def sessions_here(self) -> list[str]:
        return list(self.sessions)

    def users_here(self) -> list[str]:
        return list(self.users)

    def close_session_here(self, session_id: str, code: CloseCode) -> None:
        self.closed.append((session_id, code))

    def close_user_here(self, user_id: str, code: CloseCode) -> None:
        self.closed.append((user_id, code))


def watching(bench: Bench, connected: Connected) -> RevocationWatch:
    return RevocationWatch(
        sessions=bench.sessions,
        api_keys=bench.api_keys,
        limiter=bench.limiter,
        connected=connected,
        revoked=bench.ended,
        runtime=bench.runtime,
        clock=bench.clock,
    )


def test_what_ended_and_was_told_to_nobody_is_refused_and_closed_after_one_look() -> None:
    async def body(runtime: Runtime) -> None:
        bench, connected = Bench(runtime), Connected()
        session = await bench.open_session("ada")
        await bench.limiter.restore_revocations({})
        watch = watching(bench, connected)
        await watch.start()
        await runtime.sleep(10 * POLL_INTERVAL_S)
        assert await bench.verdict(session=session.id) is Verdict.ALLOWED
        await bench.end(session)
        await runtime.sleep(ONE_LOOK_S)
        assert await bench.verdict(session=session.id) is Verdict.REVOKED
        assert connected.closed == [(session.id, CloseCode.NOT_AUTHENTICATED)]
        await runtime.sleep(10 * POLL_INTERVAL_S)
        assert len(connected.closed) == 1, "once is enough"
        await watch.stop()

    simulated(body)


def test_a_process_refuses_what_it_ended_itself_though_the_limiter_was_away() -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        session = await bench.open_session("ada")
        await bench.end_unheard(session)
        assert session.id in bench.ended
        assert await bench.verdict(session=session.id) is Verdict.REVOKED

    simulated(body)


def test_an_outage_of_the_store_is_made_up_for_by_the_first_look_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body(runtime: Runtime) -> None:
        bench, connected = Bench(runtime), Connected()
        session = await bench.open_session("ada")
        watch = watching(bench, connected)
        await watch.start()
        await runtime.sleep(ONE_LOOK_S)
        looked = type(bench.sessions).revoked_since

        async def away(*_: object, **__: object) -> list[str]:
            raise DependencyUnavailable("mongo")

        monkeypatch.setattr(type(bench.sessions), "revoked_since", away)
        await bench.end(session)
        await runtime.sleep(120)
        monkeypatch.setattr(type(bench.sessions), "revoked_since", looked)
        await runtime.sleep(ONE_LOOK_S)
        assert session.id in bench.ended
        await watch.stop()

    simulated(body)


def test_an_ending_that_bears_an_early_time_is_found_by_the_wide_look() -> None:
    async def body(runtime: Runtime) -> None:
        bench, connected = Bench(runtime), Connected()
        session = await bench.open_session("ada")
        watch = watching(bench, connected)
        await watch.start()
        await runtime.sleep(REVOCATION_MS / 1_000)
        early_ms = bench.clock.now_ms() - WIDE_OVERLAP_MS + 1_000
        bench.sessions._sessions[session.id] = session.__class__(
            **{name: getattr(session, name) for name in session.__slots__} | {"revoked_ms": early_ms}
        )
        await runtime.sleep(WIDE_INTERVAL_S + ONE_LOOK_S)
        assert session.id in bench.ended
        await watch.stop()

    simulated(body)


def test_a_doubt_has_the_sessions_and_bans_of_all_who_are_connected_looked_at_again() -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        living = await bench.open_session("ada")
        strangers = [f"ses_{number}" for number in range(2 * BATCH_MAX)]
        connected = Connected([living.id, *strangers], ["usr_ada", "usr_eve"])
        watch = watching(bench, connected)
        await watch.start()
        await runtime.sleep(ONE_LOOK_S)
        assert connected.closed == []
        await bench.limiter.ban(Identifier(IdentifierType.USER, "usr_eve"), duration_ms=60_000, jitter=0.0)
        watch.recheck()
        await runtime.sleep(ONE_LOOK_S)
        assert connected.closed == [
            *((stranger, CloseCode.NOT_AUTHENTICATED) for stranger in strangers),
            ("usr_eve", CloseCode.FORBIDDEN),
        ]
        await watch.stop()

    simulated(body)


def test_a_ban_of_which_no_word_came_is_found_all_the_same() -> None:
    async def body(runtime: Runtime) -> None:
        bench, connected = Bench(runtime), Connected([], ["usr_ada", "usr_eve"])
        watch = watching(bench, connected)
        await watch.start()
        await runtime.sleep(ONE_LOOK_S)
        await bench.limiter.ban(Identifier(IdentifierType.USER, "usr_eve"), duration_ms=60_000, jitter=0.0)
        await runtime.sleep(BANS_INTERVAL_S + ONE_LOOK_S)
        assert ("usr_eve", CloseCode.FORBIDDEN) in connected.closed
        assert not any(user == "usr_ada" for user, _ in connected.closed)
        await watch.stop()

    simulated(body)


def test_a_doubt_lasts_until_it_was_looked_into(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(runtime: Runtime) -> None:
        bench, connected = Bench(runtime), Connected(["ses_gone"])
        watch = watching(bench, connected)
        asked = type(bench.sessions).ended_among

        async def away(*_: object, **__: object) -> list[str]:
            raise DependencyUnavailable("mongo")

        monkeypatch.setattr(type(bench.sessions), "ended_among", away)
        await watch.start()
        watch.recheck()
        await runtime.sleep(10)
        assert connected.closed == []
        monkeypatch.setattr(type(bench.sessions), "ended_among", asked)
        await runtime.sleep(ONE_LOOK_S)
        assert connected.closed == [("ses_gone", CloseCode.NOT_AUTHENTICATED)]
        await watch.stop()

    simulated(body)


def test_when_more_ended_than_can_be_read_each_session_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body(runtime: Runtime) -> None:
        bench = Bench(runtime)
        session = await bench.open_session("ada")
        await bench.limiter.restore_revocations({})
        watch = watching(bench, Connected())

        async def flood(*_: object, **__: object) -> list[str]:
            return [f"ses_{number}" for number in range(READ_MAX)]

        monkeypatch.setattr(type(bench.sessions), "revoked_since", flood)
        await watch.start()
        await runtime.sleep(ONE_LOOK_S)
        assert await bench.verdict(session=session.id) is Verdict.ALLOWED
        await bench.end(session)
        assert await bench.verdict(session=session.id) is Verdict.REVOKED
        await watch.stop()

    simulated(body)


def with_ended(body: Callable[[Runtime, RecentlyRevoked], Awaitable[None]], *, ids_max: int = 3) -> None:
    async def main(runtime: Runtime) -> None:
        await body(runtime, RecentlyRevoked(runtime, ids_max=ids_max))

    simulated(main)


def test_what_ended_is_forgotten_when_no_token_of_it_can_live() -> None:
    async def body(runtime: Runtime, ended: RecentlyRevoked) -> None:
        assert ended.add(["a", "b"]) == ["a", "b"]
        assert ended.add(["b", "c"]) == ["c"]
        await runtime.sleep(REVOCATION_MS / 1_000)
        ended.add(["d"])
        assert ("a" in ended, "d" in ended, len(ended)) == (False, True, 1)
        assert ended.is_complete

    with_ended(body)


def test_when_more_ended_than_is_remembered_the_memory_is_known_to_be_incomplete() -> None:
    async def body(runtime: Runtime, ended: RecentlyRevoked) -> None:
        ended.add(["a", "b", "c"])
        assert ended.is_complete
        ended.add(["d"])
        assert (len(ended), ended.is_complete) == (3, False)
        await runtime.sleep(REVOCATION_MS / 1_000)
        assert ended.is_complete

    with_ended(body)
